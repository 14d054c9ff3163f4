# Copyright The zfarm Authors
# SPDX-License-Identifier: Apache-2.0

port "steady" {
  version    = "1.0"
  summary    = "Counts lines, words and bytes, and is the same however it is built"
  licence    = "Apache-2.0"
  homepage   = "https://zfarm.dev/demo"
  categories = ["utilities"]

  source {
    url    = "https://zfarm.dev/demo/steady-${version}.tar"
    sha256 = "c4cea2e6c7020a162e15e09499deec1a863134521075717b6617c8870cf25eb8"
  }

  build "script" {
    limit   = "2m"
    script  = "$CC -O2 -o tally tally.c"
    install = "mkdir -p \"$DESTDIR$PREFIX/bin\" && cp tally \"$DESTDIR$PREFIX/bin/tally\""
  }

  test "script" {
    limit     = "1m"
    min_tests = 4
    script    = "sh check.sh"
  }
}
