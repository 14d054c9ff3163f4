# Measured on Linux x86-64 as an ordinary user and as root: 267 tests of gnulib,
# 235 passed, 32 skipped, 0 failed. m4's own 237 come on top, of which the 6
# about changeword are skipped: they have no names in a form that the farm
# reads, but if one of them fails, make fails and the suite is not whole.
#
# Two builds that differed in path, time zone (AAA+12, BBB-14), locale, umask
# (022, 002), jobs (1, 2), HOME and user gave identical trees.
port "m4" {
  version    = "1.4.19"
  summary    = "Expand macros in text"
  licence    = "GPL-3.0-or-later"
  homepage   = "https://www.gnu.org/software/m4/"
  categories = ["build_system", "development"]

  identity {
    purl     = "pkg:generic/gnu/m4@${version}"
    cpes     = ["cpe:2.3:a:gnu:m4:${version}:*:*:*:*:*:*:*"]
    upstream = "https://git.savannah.gnu.org/git/m4.git"
  }

  source {
    url    = "https://ftp.gnu.org/gnu/m4/m4-${version}.tar.xz"
    sha256 = "63aede5c6d33b6d9b13511cd0be2cac046f2e70fd0a07aa9573a04a82783af96"
    signature {
      key          = "keys/m4.asc"
      fingerprints = ["71C2CC22B1C4602927D2F3AAA7A16B4A2527436A"] # Eric Blake
    }
    # For the tests only: one of them fails where /bin/sh is dash.
    patches = ["patches/sysval-killed.patch"]
  }

  tool "make" { version = ">= 3.81" }

  build "autotools" {
    limit = "1h"
    # Without -g, which writes the build path into each program.
    env = { CFLAGS = "-O2" }
  }

  test "autotools" {
    limit     = "2h"
    min_tests = 260
  }

  package {
    # A list of everything installed, which belongs to the system.
    exclude = ["share/info/dir"]
  }

  reproduce { tiers = [0] }
}
