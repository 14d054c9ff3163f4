port "gzip" {
  version    = "1.12"
  summary    = "Compresses files"
  licence    = "MIT WITH" # ERROR: it ends where the name of an exception is wanted
  homepage   = "https://example.org/"
  categories = ["core"]

  source {
    url    = "https://example.org/a%0Ab.tar.gz" # ERROR: must end in the name of a file
    sha256 = "ce5e03e519f637e1f814011ace35c4f87b33c0bbabeec35baf5fbd3479e91956"
  }
  need "ncurses" {
    version = "at least 6.4" # ERROR: version range "at least 6.4": want comparisons
    at      = ["biuld"] # ERROR: "at" does not know "biuld". Did you mean "build"?
  }
  need "ncurses" { # ERROR: There is a need block for ncurses already.
    at = [] # ERROR: Say when ncurses is needed
  }
  need "gzip" {} # ERROR: A port cannot need itself.
  need "Big" {} # ERROR: A port's name is made of lower-case letters
  need "zlib" {
    verison = ">= 1" # ERROR: There is no argument named "verison" in a need. Did you mean "version"?
  }
  tool "make" {
    version = ">=" # ERROR: Invalid version range
  }
  tool "make" {} # ERROR: There is a tool block for make already.
  tool "/usr/bin/make" {} # ERROR: A tool is named as its program is, without a folder
  build "autotools" {}
}
