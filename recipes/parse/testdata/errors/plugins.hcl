port "gzip" {
  version    = "1.12"
  summary    = "Compresses files"
  licence    = "MIT"
  homepage   = "https://example.org/"
  categories = ["core"]

  source {
    url    = "https://example.org/a.tar.gz"
    sha256 = "ce5e03e519f637e1f814011ace35c4f87b33c0bbabeec35baf5fbd3479e91956"
  }
  build "autotool" { # ERROR: There is no plugin named "autotool" that makes a build. Did you mean "autotools"?
    limit     = "three hours" # ERROR: Write hours, minutes and seconds, such as "3h30m"
    something = "else"
  }
  test "autotools" {
    limit       = "721h" # ERROR: A step may take from "1s" to "720h" (30 days).
    min_tests   = -1 # ERROR: "min_tests" wants a whole number from 0 to 10000000.
    check_flags = "-j4" # ERROR: list of string required
    check       = ["a"] # ERROR: string required
    known_failure "help-version" {
      reason = "" # ERROR: The reason is empty.
    }
    known_failure "help-version" { # ERROR: There is a known_failure block for "help-version" already.
      reason = "No such locale"
    }
    known_failure "" { # ERROR: The name of a test is empty.
      reason = "No such locale"
    }
  }
  test "autotools" {
    limit = "0s" # ERROR: A step may take from "1s"
    min_tests = 1.5 # ERROR: "min_tests" wants a whole number
    env   = { "A" = ["b"] } # ERROR: string required
  }
  test "zopen" { # ERROR: There is no plugin named "zopen" that makes a test. Known here: autotools, broken, hostile, script.
  }
  test "hostile" { # ERROR: attribute limit: the name is the farm's own
    whatever = 1
  }
  test "broken" { # ERROR: The plugin broken cannot say what its block holds: it did not start.
  }
}
