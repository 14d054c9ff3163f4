# Measured on Linux x86-64 as an ordinary user and as root: 26 tests, 26
# passed, 0 skipped, 0 failed.
#
# Two builds that differed in path, time zone (AAA+12, BBB-14), locale, umask
# (022, 002), jobs (1, 2), HOME and user gave identical trees.
port "gzip" {
  version    = "1.12"
  summary    = "Compress and expand files in the gzip format"
  licence    = "GPL-3.0-or-later"
  homepage   = "https://www.gnu.org/software/gzip/"
  categories = ["compression", "core"]

  identity {
    purl     = "pkg:generic/gnu/gzip@${version}"
    cpes     = ["cpe:2.3:a:gnu:gzip:${version}:*:*:*:*:*:*:*"]
    upstream = "https://git.savannah.gnu.org/git/gzip.git"
  }

  source {
    url    = "https://ftp.gnu.org/gnu/gzip/gzip-${version}.tar.xz"
    sha256 = "ce5e03e519f637e1f814011ace35c4f87b33c0bbabeec35baf5fbd3479e91956"
    signature {
      key          = "keys/gzip.asc"
      fingerprints = ["155D3FC500C834486D1EEA677FD9FCCB000BEEEE"] # Jim Meyering
    }
  }

  tool "make" { version = ">= 3.81" }

  build "autotools" {
    limit = "1h"
    env = {
      # Without -g, which writes the build path into each program.
      CFLAGS = "-O2"
      # The shell that configure finds stands in the first line of zgrep, zless
      # and the like: /bin/bash on one worker, /bin/sh on another.
      CONFIG_SHELL = "/bin/sh"
    }
  }

  test "autotools" {
    limit     = "1h"
    min_tests = 26
  }

  package {
    # A list of everything installed, which belongs to the system.
    exclude = ["share/info/dir"]
  }

  reproduce { tiers = [0] }
}
