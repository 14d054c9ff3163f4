# Measured on Linux x86-64 as an ordinary user and as root: 5 tests, 4 passed,
# 1 skipped (tests/greeting-2, which runs on a full moon night only), 0 failed.
#
# Two builds that differed in path, time zone (AAA+12, BBB-14), locale, umask
# (022, 002), jobs (1, 2), HOME and user gave identical trees.
port "hello" {
  version    = "2.10"
  summary    = "Print a friendly greeting, as the GNU example program does"
  licence    = "GPL-3.0-or-later"
  homepage   = "https://www.gnu.org/software/hello/"
  categories = ["utilities"]

  # The vulnerability data bases do not know it, so there is no CPE.
  identity {
    purl     = "pkg:generic/gnu/hello@${version}"
    upstream = "https://git.savannah.gnu.org/git/hello.git"
  }

  source {
    url    = "https://ftp.gnu.org/gnu/hello/hello-${version}.tar.gz"
    sha256 = "31e066137a962676e89f69d1b65382de95a7ef7d914b8cb956f41ea72e0f516b"
    signature {
      key          = "keys/hello.asc"
      fingerprints = ["8ED396E37E38D471A00530D3A9553245FDE9B739"] # Sami Kerola
    }
  }

  tool "make" { version = ">= 3.81" }

  build "autotools" {
    limit = "1h"
    # Without -g, which writes the build path into each program.
    env = { CFLAGS = "-O2" }
  }

  test "autotools" {
    limit     = "30m"
    min_tests = 5
  }

  package {
    # A list of everything installed, which belongs to the system.
    exclude = ["share/info/dir"]
  }

  reproduce { tiers = [0] }
}
