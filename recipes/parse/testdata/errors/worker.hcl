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
  worker {
    labels = [
      "zos-3.1",
      "compiler=openxl",
      "open xl", # ERROR: A label is a name, or a name and a value
      "compiler=", # ERROR: Invalid label
      "=openxl", # ERROR: Invalid label
      "a=b=c", # ERROR: Invalid label
      "-x", # ERROR: Invalid label
      "", # ERROR: Invalid label
      "größe", # ERROR: Invalid label
      "n2345678901234567890123456789012345678901234567890123456789012345", # ERROR: have 64 characters at most
      "zos-3.1", # ERROR: The label "zos-3.1" is asked for already.
      "compiler=xlc", # ERROR: The label compiler is asked for as "compiler=openxl" already
      "compiler", # ERROR: The label compiler is asked for as "compiler=openxl" already
      null, # ERROR: An element of "labels" is null.
    ]
    system  = "z/OS" # ERROR: on z/OS that is "OS/390"
    release = "from 28" # ERROR: version range "from 28": want comparisons
    lables  = [] # ERROR: There is no argument named "lables" in a worker. Did you mean "labels"?
  }
  worker { # ERROR: There may be 1 worker blocks at most here.
    system  = "OS 390" # ERROR: "system" is what "uname -s" says on the worker
    release = ">= 28, < " # ERROR: Invalid version range
    labels  = "zos" # ERROR: list of string required
  }
  worker "w1" { # ERROR: A worker block has no name of its own.
  }
  build "autotools" {}
}
