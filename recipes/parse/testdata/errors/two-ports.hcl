version = "1" # ERROR: There is no argument named "version" in a recipe. Known here: port.

port "a" { # ERROR: A port needs a source block. # ERROR: A port needs a build block.
  version    = "1"
  summary    = "A"
  licence    = "MIT"
  homepage   = "https://example.org/"
  categories = ["core"]
}

port "b" { # ERROR: There may be 1 port blocks at most here.
}
