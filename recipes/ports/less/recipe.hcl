# Measured on Linux x86-64 as an ordinary user and as root: 10 tests, 10
# passed. They are the recipe's own.
#
# Two builds that differed in path, time zone (ZFA+12, ZFB-14), locale, umask
# (022, 002), jobs (2, 1), HOME and user gave identical trees.
#
# Nothing of the path at which ncurses lay was left in what was staged.
port "less" {
  version    = "590"
  summary    = "Page through text"
  licence    = "GPL-3.0-or-later OR BSD-2-Clause"
  homepage   = "https://www.greenwoodsoftware.com/less/"
  categories = ["core", "utilities"]

  identity {
    purl = "pkg:generic/gnu/less@${version}"
    cpes = [
      "cpe:2.3:a:gnu:less:${version}:*:*:*:*:*:*:*",
      "cpe:2.3:a:greenwoodsoftware:less:${version}:*:*:*:*:*:*:*",
    ]
    upstream = "https://github.com/gwsw/less.git"
  }

  source {
    url    = "https://ftp.gnu.org/gnu/less/less-${version}.tar.gz"
    sha256 = "6aadf54be8bf57d0e2999a3c5d67b1de63808bb90deb8f77b028eafae3a08e10"
    signature {
      key          = "keys/less.asc"
      fingerprints = ["AE27252BD6846E7D6EAE1DD6F153A7C833235259"] # Mark Nudelman
    }
  }

  # To run it: the descriptions of terminals.
  need "ncurses" {
    version = ">= 6.4"
    at      = ["build", "run"]
  }

  tool "make" { version = ">= 3.81" }

  build "autotools" {
    limit = "1h"
    # Else another library for regular expressions, where the worker has one.
    configure = ["--with-regex=posix"]
    env = {
      # Without -g, which writes the build path into each program.
      CFLAGS = "-O2"
      # It looks for these before ncurses, and the worker may have them.
      ac_cv_lib_tinfo_tgoto  = "no"
      ac_cv_lib_tinfow_tgoto = "no"
    }
  }

  # Upstream's release has no suite. A step has no terminal, so this is what can
  # be tried without one.
  test "script" {
    limit     = "15m"
    min_tests = 10
    script    = <<-END
      bin=$DESTDIR$PREFIX/bin
      need=$(command -v tput) && need=$${need%/bin/tput}
      dir=$TMPDIR/check
      rm -rf "$dir" && mkdir "$dir" && cd "$dir" || exit
      check() {
        name=$1
        shift
        if "$@" >log 2>&1; then echo "PASS: $name"; else echo "FAIL: $name"; sed 's/^/  /' log; fi
      }
      is() { printf '%s\n' "$1" "$2" && [ "$1" = "$2" ]; }
      printf 'one\ntwo\nthree\n' >a
      printf 'four\n' >b
      printf '#command\nz quit\n' >keys

      check version is "$("$bin/less" --version | sed -n 1p)" 'less 590 (POSIX regular expressions)'
      check uses-the-needed-ncurses grep "$${need#"$ZFARM_ROOT/needs"}/share/terminfo" "$bin/less"
      check copies-a-file is "$("$bin/less" a | od -c)" "$(od -c <a)"
      check copies-standard-input is "$("$bin/less" <a | od -c)" "$(od -c <a)"
      check copies-files-in-order is "$("$bin/less" b a)" "$(cat b a)"
      check preprocesses is "$(LESSOPEN='|sed s/two/2/ %s' "$bin/less" a)" "$(sed s/two/2/ a)"
      check missing-file is "$("$bin/less" none 2>&1)" 'none: No such file or directory'
      check lessecho is "$("$bin/lessecho" -a 'a b' c)" '"a b" "c"'
      check lesskey "$bin/lesskey" -o keys.out keys
      check lesskey-writes is "$(od -An -tx1 -N 9 keys.out | tr -d ' ')" 004d2b476303007a00
    END
  }

  reproduce { tiers = [0] }
}
