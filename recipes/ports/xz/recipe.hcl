# Measured on Linux x86-64 as an ordinary user and as root: 18 tests, 18
# passed, 0 skipped, 0 failed.
#
# Two builds that differed in path, time zone (ZFA+12, ZFB-14), locale, umask
# (022, 002), jobs (2, 1), HOME and user gave identical trees.
port "xz" {
  version    = "5.4.1"
  summary    = "Compress and expand files in the xz and lzma formats"
  licence    = "LGPL-2.1-or-later AND GPL-2.0-or-later AND 0BSD"
  homepage   = "https://tukaani.org/xz/"
  categories = ["compression", "library"]

  identity {
    purl     = "pkg:generic/tukaani/xz@${version}"
    cpes     = ["cpe:2.3:a:tukaani:xz:${version}:*:*:*:*:*:*:*"]
    upstream = "https://git.tukaani.org/xz.git"
  }

  source {
    url    = "https://tukaani.org/xz/xz-${version}.tar.xz"
    sha256 = "5d9827aa1875b21c288f78864bb26d2650b436ea8d2cad364e4921eb6266a5a5"
    signature {
      key          = "keys/xz.asc"
      fingerprints = ["3690C240CE51B4670D30AD1C38EE757D69184620"] # Lasse Collin
    }
  }

  tool "make" { version = ">= 3.81" }

  build "autotools" {
    limit = "1h"
    # Messages in other languages would need gettext, which workers seldom have.
    configure = ["--disable-nls"]
    env = {
      # Without -g, which writes the build path into each program.
      CFLAGS = "-O2"
      # The shell that configure finds stands in the first line of xzgrep, xzless
      # and the like: /bin/bash on one worker, /bin/sh on another.
      gl_cv_posix_shell = "/bin/sh"
    }
  }

  test "autotools" {
    limit     = "1h"
    min_tests = 18
  }

  package {
    # They name folders that are not there where other ports are built.
    exclude = ["lib/*.la"]
  }

  reproduce { tiers = [0] }
}
