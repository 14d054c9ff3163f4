#!/bin/sh
# Copyright The zfarm Authors
# SPDX-License-Identifier: Apache-2.0
#
# Tests of tally, in the Test Anything Protocol.
n=0
status=0

is() { # NAME WANT HAVE
    n=$((n + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1: want $2, have $3"
        status=1
    fi
}

echo "1..4"
is "nothing" "0 0 0" "$(./tally </dev/null)"
is "one line" "1 2 12" "$(printf 'hello world\n' | ./tally)"
is "no last newline" "1 3 11" "$(printf 'one\ntwo 3.4' | ./tally)"
is "version" "tally 1.0" "$(./tally --version)"
exit $status
