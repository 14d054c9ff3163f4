port "less" {
  version    = "668"
  summary    = "Shows text page by page"
  licence    = "GPL-3.0-or-later OR (BSD-2-Clause  AND LicenseRef-less) OR GPL-2.0+ WITH Classpath-exception-2.0"
  homepage   = "https://www.greenwoodsoftware.com/less/"
  categories = ["utilities"]
  source {
    url    = "https://www.greenwoodsoftware.com/less/less-668.tar.gz"
    sha256 = "2819f55564d86d542abbecafd82ff61e819a3eec967faa36cd3e68f1596a44b8"
  }
  build "autotools" {}
}
