port "gzip" {
  verison = "1.12"
	summary = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" # a tab, and a line too long to show
  licence = "\u001b[2J\n"
  homepage = {
    a = 1
    b = 2
    c = 3
    d = 4
    e = 5
  }
  categories = ["core"]
  source {
    url = "https://example.org/${nope}"
    sha256 = "12"
    patches = ["\u001b[31m", "patches/\u202e.patch"]
  }
  build "autotools" {
    limit = "3 hours"
  }
}
