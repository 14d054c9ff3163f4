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
  test "script" { # ERROR: The plugin script does not take this: nothing about the block # ERROR: The plugin script does not take this: It does not say why.
    script = "false"  # ERROR: The plugin script does not take this: a script that fails
    args = [
      "a",
      "b", # ERROR: The plugin script does not take this: second element
    ]
    limit = "1h"
  }
}
