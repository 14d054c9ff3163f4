port "gzip" {
  version    = "668"
  summary    = "Compresses files"
  licence    = "MIT"
  homepage   = "https://example.org/${version_minor}" # ERROR: The version "668" has no such number
  categories = ["core"]

  source {
    url    = "https://example.org/a.tar.gz"
    sha256 = "ce5e03e519f637e1f814011ace35c4f87b33c0bbabeec35baf5fbd3479e91956"
  }
  build "autotools" {}
  package {
    prefix = "/opt/my $HOME" # ERROR: A prefix appears in search paths and scripts
  }
}
