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
  build "autotools" {}
  package {
    prefix  = "opt/gzip" # ERROR: A prefix is an absolute folder below the root
    include = [] # ERROR: Nothing would be in the package.
    exclude = [
      "/usr/lib", # ERROR: A pattern is relative to the prefix
      "../x", # ERROR: A pattern is relative to the prefix
      "lib/[a", # ERROR: has a bracket or backslash without its other half
      "share//x", # ERROR: A pattern is relative to the prefix
      "", # ERROR: A pattern is relative to the prefix
    ]
  }
  reproduce {
    repeats = 1 # ERROR: "repeats" wants a whole number from 2 to 16.
    vary    = ["path", "time_zone"] # ERROR: There is no variation "time_zone". Did you mean "timezone"?
    tiers = [
      0,
      3, # ERROR: "tiers" wants a whole number from 0 to 2.
      -1, # ERROR: "tiers" wants a whole number from 0 to 2.
    ]
  }
  reproduce { # ERROR: There may be 1 reproduce blocks at most here.
    repeats = "many" # ERROR: a number is required
    tiers   = [0.5] # ERROR: "tiers" wants a whole number
    vary    = [["path"]] # ERROR: string required
  }
}
