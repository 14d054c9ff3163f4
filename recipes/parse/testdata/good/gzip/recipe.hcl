# The example of the documentation: every block there is.
port "gzip" {
  version    = "1.12"
  summary    = "GNU's compression program"
  licence    = "GPL-3.0-or-later"
  homepage   = "https://www.gnu.org/software/gzip/"
  categories = ["core", "compression"]

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
      fingerprints = ["155D 3FC5 00C8 3448 6D1E  EA67 7FD9 FCCB 000B EEEE"]
    }
    patches = ["patches/zos.patch", "patches/another.patch"]
  }

  source {
    url    = "https://example.org/tests-${version_major}.${version_minor}.tar.gz"
    sha256 = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    into   = "tests/more"
  }

  need "zlib" {}
  need "ncurses" {
    version = ">= 6.4"
    at      = ["run", "build"]
  }
  tool "make" { version = ">= 4.0" }
  tool "awk" {}

  build "autotools" {
    limit     = "28h"
    configure = concat(["--disable-nls"], [for x in split(" ", "gcc-warnings rpath") : "--disable-${x}"])
    env = {
      CFLAGS            = format("-O2 -DNAME=%q", upper(port))
      gl_cv_func_printf = "yes"
    }
    parallel = false
    install  = null
  }

  test "autotools" {
    limit     = "3h30m"
    min_tests = 20
    check     = "check"
    known_failure "zgrep-signal" { reason = "Signals arrive late" }
    known_failure "help-version" { reason = "No /dev/full there" }
  }

  test "script" {
    script = <<-END
      ./gzip --version | grep '^gzip ${version}$'
      echo "%%{literal} $${literal}"
    END
  }

  package {
    include = ["**"]
    exclude = ["share/info/dir", "lib/*.la"]
  }

  reproduce {
    repeats = 3
    vary    = ["timezone", "path"]
    tiers   = [1, 0, 1]
  }
}
