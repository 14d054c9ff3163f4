port "gzip" {
  version = "1.12"
  summary    = "Two\nlines" # ERROR: holds a newline
  licence    = "(MIT OR Apache-2.0" # ERROR: it ends where a closing parenthesis is wanted
  homepage   = ["https://example.org/"] # ERROR: string required
  categories = "compression" # ERROR: list of string required

  source {
    url    = "https://example.org/a.tar.gz"
    sha256 = "ce5e03e519f637e1f814011ace35c4f87b33c0bbabeec35baf5fbd3479e91956"
  }
  build "autotools" {}
}
