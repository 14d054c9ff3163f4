# Copyright The zfarm Authors
# SPDX-License-Identifier: Apache-2.0
#
# A port of one shell script: the smallest recipe that is built, tested and released.

port "greeting" {
  version    = "1.0"
  summary    = "Greets people from the folder it was configured for"
  licence    = "Apache-2.0"
  homepage   = "https://example.org/greeting"
  categories = ["utilities"]

  source { # examples/farm.hcl names the folder that has it
    url    = "https://example.org/greeting-${version}.tar"
    sha256 = "6e9367e8d806a46381016c156bb9349c141117464a30e30e3270c8a3411b544f"
  }

  build "script" {
    limit   = "1m"
    script  = "sed \"s,@PREFIX@,$PREFIX,\" greet.in >greet"
    install = "mkdir -p \"$DESTDIR$PREFIX/bin\" && cp greet \"$DESTDIR$PREFIX/bin/greet\" && chmod 755 \"$DESTDIR$PREFIX/bin/greet\""
  }

  test "script" { # greeting prints TAP
    limit  = "1m"
    script = "sh check.sh"
  }

  reproduce {
    repeats = 2   # on different workers, under conditions that differ on purpose
    tiers   = [0] # only the order and the compression of the package may differ
  }
}
