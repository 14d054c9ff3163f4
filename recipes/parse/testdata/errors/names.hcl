prot "gzip" { # ERROR: There is no block named "prot" in a recipe. Did you mean "port"?
}

port "gzip" {
  verison    = "1.12" # ERROR: There is no argument named "verison" in a port. Did you mean "version"?
  summary    = "Compresses files"
  license    = "GPL-3.0-or-later" # ERROR: Did you mean "licence"?
  homepage   = "https://www.gnu.org/software/gzip/"
  categories = ["compression"]
  colour     = "red" # ERROR: Known here: build, categories, homepage, identity, licence, need, package, reproduce, source, summary, test, tool, version, worker.
  deps       = [] # ERROR: There is no argument named "deps" in a port

  identity = { # ERROR: "identity" is a block: leave out the equals sign.
    purl = "x"
  }

  sorce { # ERROR: There is no block named "sorce" in a port. Did you mean "source"?
    url = "https://example.org/a.tar.gz"
  }

  needs "ncurses" { # ERROR: Did you mean "need"?
  }

  build "autotools" {
    confgure = [] # ERROR: There is no argument named "confgure" in a build. Did you mean "configure"?
    limits   = "3h" # ERROR: Did you mean "limit"?
    min_tests = 3 # ERROR: There is no argument named "min_tests" in a build
    env {} # ERROR: "env" is an argument: write env = ...
    known_failure "x" { # ERROR: There is no block named "known_failure" in a build
    }
  }

  test "autotools" {
    known_failures "x" { # ERROR: Did you mean "known_failure"?
    }
    known_failure "y" {
      raeson = "..." # ERROR: Did you mean "reason"?
    }
    min_test = 3 # ERROR: Did you mean "min_tests"?
  }
}
