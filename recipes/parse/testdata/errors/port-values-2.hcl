port "gzip" {
  version    = 1.12
  summary    = "This summary goes on and on, and then it goes on a little further, so that in the end nobody can show it in a single line of text." # ERROR: at most 120 are shown
  licence    = "MIT or Apache-2.0" # ERROR: write OR in capitals
  homepage   = "https://user:secret@example.org/" # ERROR: holds a user name or password
  categories = [] # ERROR: A port is in one category at least.

  source {
    url    = "https://example.org/a.tar.gz"
    sha256 = "ce5e03e519f637e1f814011ace35c4f87b33c0bbabeec35baf5fbd3479e91956"
  }
  build "autotools" {}
}
