# Measured on Linux x86-64 as an ordinary user and as root: 10 tests, 10
# passed. They are the recipe's own: upstream's want the library Check, and
# leave themselves out where the worker has not got it.
#
# Two builds that differed in path, time zone (ZFA+12, ZFB-14), locale, umask
# (022, 002), jobs (2, 1), HOME and user gave identical trees.
port "libpipeline" {
  version    = "1.5.7"
  summary    = "Set up and run pipelines of processes from C"
  licence    = "GPL-3.0-or-later"
  homepage   = "https://libpipeline.gitlab.io/libpipeline/"
  categories = ["library"]

  # The vulnerability data bases do not know it, so there is no CPE.
  identity {
    purl     = "pkg:gitlab/libpipeline/libpipeline@${version}"
    upstream = "https://gitlab.com/libpipeline/libpipeline.git"
  }

  source {
    url    = "https://download.savannah.nongnu.org/releases/libpipeline/libpipeline-${version}.tar.gz"
    sha256 = "b8b45194989022a79ec1317f64a2a75b1551b2a55bea06f67704cb2a2e4690b0"
    signature {
      key          = "keys/libpipeline.asc"
      fingerprints = ["AC0A4FF12611B6FCCF01C111393587D97D86500B"] # Colin Watson
    }
  }

  tool "make" { version = ">= 3.81" }

  build "autotools" {
    limit = "1h"
    # Upstream builds a shared library alone; z/OS programs want the other kind.
    configure = ["--enable-static"]
    # Without -g, which writes the build path into each object.
    env = { CFLAGS = "-O2" }
  }

  test "script" {
    limit     = "15m"
    min_tests = 10
    script    = <<-END
      dir=$TMPDIR/check
      rm -rf "$dir" && mkdir "$dir" && cd "$dir" || exit
      check() {
        name=$1
        shift
        if "$@" >log 2>&1; then echo "PASS: $name"; else echo "FAIL: $name"; sed 's/^/  /' log; fi
      }
      is() { printf '%s\n' "$1" "$2" && [ "$1" = "$2" ]; }
      cat >use.c <<'EOF'
      #include <stdio.h>
      #include <stdlib.h>
      #include <string.h>
      #include <pipeline.h>
      static void shout(void *data) { fputs(data, stdout); }
      static pipeline *two(void) {
        return pipeline_new_commands(pipecmd_new_args("printf", "%s\n", "b", "a", (void *)0),
                                     pipecmd_new("sort"), (void *)0);
      }
      int main(int argc, char **argv) {
        const char *what = argc > 1 ? argv[1] : "", *line;
        pipeline *p = 0;
        pipecmd *c;
        if (!strcmp(what, "run")) {
          p = two();
        } else if (!strcmp(what, "status")) {
          p = pipeline_new_commands(pipecmd_new_argstr("sh -c 'exit 3'"), (void *)0);
        } else if (!strcmp(what, "signal")) {
          p = pipeline_new_commands(pipecmd_new_argstr("sh -c 'kill -TERM $$'"), (void *)0);
        } else if (!strcmp(what, "function")) {
          p = pipeline_new_commands(pipecmd_new_function("shout", shout, 0, "hey\n"),
                                    pipecmd_new_args("tr", "a-z", "A-Z", (void *)0), (void *)0);
        } else if (!strcmp(what, "environment")) {
          c = pipecmd_new_args("sh", "-c", "printf '%s' \"$ONE\"", (void *)0);
          pipecmd_setenv(c, "ONE", "1");
          p = pipeline_new_commands(c, (void *)0);
        } else if (!strcmp(what, "files")) {
          p = pipeline_new_command_args("cat", (void *)0);
          pipeline_want_infile(p, "in");
          pipeline_want_outfile(p, "out");
        } else if (!strcmp(what, "text")) {
          puts(pipeline_tostring(two()));
          return 0;
        } else if (!strcmp(what, "lines")) {
          p = two();
          pipeline_want_out(p, -1);
          pipeline_start(p);
          while ((line = pipeline_readline(p))) printf("<%.*s>", (int)strcspn(line, "\n"), line);
          return pipeline_wait(p);
        }
        return p ? pipeline_run(p) : 99;
      }
      EOF
      check links "$CC" -I"$DESTDIR$PREFIX/include" use.c "$DESTDIR$PREFIX/lib/libpipeline.a" -o use
      printf 'in and out\n' >in
      check runs-two-commands is "$(./use run)" "$(printf 'a\nb')"
      ./use status
      check tells-a-status is $? 3
      ./use signal 2>log
      check tells-a-signal is $? 143
      check runs-a-function is "$(./use function)" HEY
      check sets-the-environment is "$(./use environment)" 1
      check reads-and-writes-files ./use files
      check wrote-what-it-read cmp in out
      check shows-itself is "$(./use text)" "$(printf 'printf %%s\n b a | sort')"
      check reads-lines is "$(./use lines)" '<a><b>'
    END
  }

  package {
    # They name folders that are not there where other ports are built.
    exclude = ["lib/*.la"]
  }

  reproduce { tiers = [0] }
}
