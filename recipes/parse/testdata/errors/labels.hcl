port "gzip" {
  version    = "1.12"
  summary    = "Compresses files"
  licence    = "MIT"
  homepage   = "https://example.org/"
  categories = ["core"]
  source "main" { # ERROR: A source block has no name of its own.
    url = "x"
  }
  build { # ERROR: A build block has one name, in quotes. Write build "name" { ... }.
  }
  need "a" "b" { # ERROR: A need block has one name
  }
}
