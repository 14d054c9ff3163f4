# Copyright The zfarm Authors
# SPDX-License-Identifier: Apache-2.0

port "stamped" {
  version    = "1.0"
  summary    = "Tells when and where it was built, so that no two builds are alike"
  licence    = "Apache-2.0"
  homepage   = "https://zfarm.dev/demo"
  categories = ["utilities"]

  source {
    url    = "https://zfarm.dev/demo/stamped-${version}.tar"
    sha256 = "4521ff1a6a903cabe3317322e3372d82ff213c13bfb2924206372a4e735d662e"
  }

  build "script" {
    limit = "2m"
    # Many compilers have never heard of SOURCE_DATE_EPOCH, which would give
    # this one the same date each time.
    script  = "unset SOURCE_DATE_EPOCH; $CC -O2 -DBUILD_DIR=\"\\\"$PWD\\\"\" -o stamp stamp.c"
    install = "mkdir -p \"$DESTDIR$PREFIX/bin\" && cp stamp \"$DESTDIR$PREFIX/bin/stamp\""
  }
}
