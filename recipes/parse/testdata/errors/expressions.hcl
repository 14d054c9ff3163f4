port "gzip" {
  version    = "${prot}-1" # ERROR: There is no variable named "prot" here. Did you mean "port"?
  summary    = "Compresses ${vesion}" # ERROR: There is no variable named "vesion" here. Did you mean "version"?
  licence    = uper("mit") # ERROR: There is no function named "uper". Did you mean "upper"?
  homepage   = "https://example.org/${env.HOME}" # ERROR: There is no variable named "env" here. Known here: port, version, version_major, version_minor.
  categories = [for c in ["core"] : d] # ERROR: There is no variable named "d" here.

  source {
    url    = file("url") # ERROR: There is no function named "file".
    sha256 = timestamp() # ERROR: There is no function named "timestamp".
    into   = "a" + 1 # ERROR: Recipes do no arithmetic.
  }
  build "autotools" {
    configure = ["--a=${nope}", "--b=${nada}"] # ERROR: There is no variable named "nope" # ERROR: There is no variable named "nada"
    env = {
      E = -version # ERROR: Recipes do no arithmetic.
      F = concat(["a"]...) # ERROR: Recipes do not expand a list into arguments.
      G = core::upper("a") # ERROR: There is no function named "core::upper".
    }
    make = [for x in ["a", "b"] : null] # ERROR: a null in a list
  }
  build "autotools" { # ERROR: There may be 1 build blocks at most here.
    configure = version.major # ERROR: Unsupported attribute
    prefix    = "\u0000" # ERROR: a NUL character
  }
  test "autotools" {
    env = {
      A = join(",") # ERROR: at least one list is required
      B = format("%d", 1) # ERROR: only %s, %q and %% are known
      C = format("%s") # ERROR: there are more places than arguments
      D = format("%s", "a", "b") # ERROR: there are 1 places for 2 arguments
    }
  }
}
