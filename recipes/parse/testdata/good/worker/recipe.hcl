# Everything that can be asked of a worker.
port "zstd" {
  version    = "1.5.6"
  summary    = "Compresses fast"
  licence    = "BSD-3-Clause"
  homepage   = "https://facebook.github.io/zstd/"
  categories = ["compression"]
  source {
    url    = "https://github.com/facebook/zstd/releases/download/v${version}/zstd-${version}.tar.gz"
    sha256 = "8c29e06cf42aacc1eafc4077ae2ec6c6fcb96a626157e0593d5e82a34fd403c1"
  }
  tool "clang" { version = ">= 14" }
  worker {
    labels  = ["zos-3.1", "compiler=openxl"]
    system  = "OS/390"
    release = "< 31,>=28"
  }
  build "autotools" {}
}
