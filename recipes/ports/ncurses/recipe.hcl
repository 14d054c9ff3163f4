# Measured on Linux x86-64 as an ordinary user and as root: 15 tests, 15
# passed. They are the recipe's own: upstream's test programs want a terminal
# and somebody who looks at it.
#
# Two builds that differed in path, time zone (ZFA+12, ZFB-14), locale, umask
# (022, 002), jobs (2, 1), HOME and user gave identical trees.
port "ncurses" {
  version    = "6.4"
  summary    = "Handle terminals: the curses library, terminfo and its tools"
  licence    = "X11-distribute-modifications-variant"
  homepage   = "https://invisible-island.net/ncurses/"
  categories = ["library", "core"]

  identity {
    purl     = "pkg:generic/gnu/ncurses@${version}"
    cpes     = ["cpe:2.3:a:gnu:ncurses:${version}:*:*:*:*:*:*:*"]
    upstream = "https://github.com/ThomasDickey/ncurses-snapshots.git"
  }

  source {
    url    = "https://ftp.gnu.org/gnu/ncurses/ncurses-${version}.tar.gz"
    sha256 = "6931283d9ac87c5073f30b6290c4c75f21632bb4fc3603ac8100812bed248159"
    signature {
      key          = "keys/ncurses.asc"
      fingerprints = ["19882D92DDA4C400C22C0D56CC2AF4472167BE03"] # Thomas Dickey
    }
  }

  tool "make" { version = ">= 3.81" }

  build "autotools" {
    limit = "1h"
    configure = [
      "--without-ada",
      "--without-cxx-binding",
      "--without-debug",
      "--without-tests",
      "--enable-widec",
      # Headers in include itself, where ports that need them look.
      "--enable-overwrite",
      "--enable-pc-files",
      "--with-pkg-config-libdir=/opt/zfarm/ncurses/${version}/lib/pkgconfig",
      # Else it does as the worker's own system does with its manual pages:
      # compresses them, gives them other names.
      "--with-manpage-format=normal",
      "--without-manpage-renames",
      # The worker may have it or not.
      "--without-gpm",
    ]
    env = {
      # Without -g, which writes the build path into each object.
      CFLAGS = "-O2"
      # It would rather ask ar for -U: times and owners in the archives.
      cf_cv_ar_flags = "-curv"
    }
  }

  test "script" {
    limit     = "15m"
    min_tests = 15
    script    = <<-END
      PATH=$DESTDIR$PREFIX/bin:$PATH
      TERMINFO=$DESTDIR$PREFIX/share/terminfo
      export PATH TERMINFO
      dir=$TMPDIR/check
      rm -rf "$dir" && mkdir "$dir" && cd "$dir" || exit
      check() {
        name=$1
        shift
        if "$@" >log 2>&1; then echo "PASS: $name"; else echo "FAIL: $name"; sed 's/^/  /' log; fi
      }
      is() { printf '%s\n' "$1" "$2" && [ "$1" = "$2" ]; }
      esc=$(printf '\033')

      check tput-longname is "$(tput -T xterm longname)" 'xterm terminal emulator (X Window System)'
      check tput-cup is "$(tput -T xterm cup 4 7)" "$esc[5;8H"
      check tput-parameters is "$(tput -T xterm-256color setaf 196)" "$esc[38;5;196m"
      tput -T no-such-terminal clear >log 2>&1
      check tput-unknown-terminal is $? 3
      printf 'zfarm-test|a terminal of this test,\n\tam, cols#71, bel=^G, cup=<%%p1%%d;%%p2%%d>,\n' >test.ti
      check tic-compiles tic -o "$dir/own" test.ti
      check tput-reads-what-tic-wrote is "$(TERMINFO=$dir/own tput -T zfarm-test cols)" 71
      check infocmp-writes is "$(infocmp -A "$dir/own" -1 zfarm-test | sed -n 's/^.*cup=//p')" '<%p1%d;%p2%d>,'
      check infocmp-compares is "$(infocmp -d vt100 vt102 | sed -n 's/^.*[[:cntrl:]]dch1: //p')" "NULL, '\\E[P'."
      check infotocap grep 'co#71' <<EOF
      $(infotocap test.ti)
      EOF
      check database-is-whole test "$(toe "$TERMINFO" | wc -l)" -gt 1500
      check config is "$(ncursesw6-config --version)" 6.4.20221231

      cat >draw.c <<'EOF'
      #include <stdio.h>
      #include <curses.h>
      #include <form.h>
      #include <menu.h>
      #include <panel.h>
      int main(void) {
        FILE *out = fopen("drawn", "w");
        SCREEN *s = out ? newterm("xterm", out, stdin) : 0;
        PANEL *p;
        if (!s) return 2;
        mvaddstr(3, 5, "drawn by curses");
        if (!(p = new_panel(newwin(3, 20, 10, 10)))) return 3;
        mvwaddstr(panel_window(p), 0, 0, "on a panel");
        update_panels();
        doupdate();
        endwin();
        if (!new_menu(0) && !new_form(0)) return 4;
        return fclose(out) != 0;
      }
      EOF
      check library-links "$CC" -I"$DESTDIR$PREFIX/include" draw.c -L"$DESTDIR$PREFIX/lib" -lpanelw -lmenuw -lformw -lncursesw -o draw
      check library-draws ./draw
      check library-drew-text grep 'drawn by curses' drawn
      check library-drew-panel grep 'on a panel' drawn
    END
  }

  reproduce { tiers = [0] }
}
