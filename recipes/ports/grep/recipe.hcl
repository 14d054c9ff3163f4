# Measured on Linux x86-64: 322 tests (122 of grep itself, 200 of gnulib), as
# an ordinary user and as root: 253 passed, 68 skipped (most want a locale that
# was not there, Windows or much time), 0 failed, 1 as upstream expects. The
# recipe's own 7 passed.
#
# Two builds that differed in path, time zone (ZFA+12, ZFB-14), locale, umask
# (022, 002), jobs (2, 1), HOME and user gave identical trees.
#
# Nothing of the path at which pcre2 lay was left in what was staged.
port "grep" {
  version    = "3.8"
  summary    = "Find lines that match patterns"
  licence    = "GPL-3.0-or-later"
  homepage   = "https://www.gnu.org/software/grep/"
  categories = ["core"]

  identity {
    purl     = "pkg:generic/gnu/grep@${version}"
    cpes     = ["cpe:2.3:a:gnu:grep:${version}:*:*:*:*:*:*:*"]
    upstream = "https://git.savannah.gnu.org/git/grep.git"
  }

  source {
    url    = "https://ftp.gnu.org/gnu/grep/grep-${version}.tar.xz"
    sha256 = "498d7cc1b4fb081904d87343febb73475cf771e424fb7e6141aff66013abc382"
    signature {
      key          = "keys/grep.asc"
      fingerprints = ["155D3FC500C834486D1EEA677FD9FCCB000BEEEE"] # Jim Meyering
    }
  }

  # For -P. To run it as well, where it is a shared library.
  need "pcre2" {
    version = ">= 10.30"
    at      = ["build", "run"]
  }

  tool "make" { version = ">= 3.81" }

  build "autotools" {
    limit = "1h"
    # Not left to configure, which would do without -P.
    configure = ["--enable-perl-regexp"]
    env = {
      # Without -g, which writes the build path into each program.
      CFLAGS = "-O2"
      # The shell that configure finds stands in the first line of egrep and
      # fgrep: /bin/bash on one worker, /bin/sh on another.
      CONFIG_SHELL = "/bin/sh"
    }
  }

  test "autotools" {
    limit     = "2h"
    min_tests = 315
  }

  # Upstream's suite leaves out what needs -P where grep was built without it.
  test "script" {
    limit     = "15m"
    min_tests = 7
    script    = <<-END
      source=$PWD
      grep=$DESTDIR$PREFIX/bin/grep
      need=$(command -v pcre2-config) && need=$${need%/bin/pcre2-config}
      dir=$TMPDIR/check
      rm -rf "$dir" && mkdir "$dir" && cd "$dir" || exit
      check() {
        name=$1
        shift
        if "$@" >log 2>&1; then echo "PASS: $name"; else echo "FAIL: $name"; sed 's/^/  /' log; fi
      }
      is() { printf '%s\n' "$1" "$2" && [ "$1" = "$2" ]; }
      printf 'price: 10 EUR\nprice: 20 USD\nname\n' >a

      check need-lies-in-the-workspace is "$need" "$ZFARM_ROOT/needs$(pcre2-config --prefix)"
      check was-built-with-it "$grep" '^#define HAVE_LIBPCRE 1' "$source/config.h"
      check was-linked-with-it "$grep" "^LDFLAGS = .*-L$need/lib" "$source/Makefile"
      check perl-lookahead is "$("$grep" -oP '\d+(?= USD)' a)" 20
      check perl-lookbehind is "$("$grep" -oP '(?<=price: )\d+(?= EUR)' a)" 10
      check perl-lazy is "$("$grep" -oP '^.*?: ' a | sort -u)" 'price: '
      "$grep" -P '(?<' a 2>log
      check perl-faulty-pattern is $? 2
    END
  }

  package {
    # A list of everything installed, which belongs to the system.
    exclude = ["share/info/dir"]
  }

  reproduce { tiers = [0] }
}
