port "gzip" {
  version    = "1.12"
  summary    = "Compresses files "  # ERROR: begins or ends with a space
  licence    = null # ERROR: must not be null
  homepage   = "https://example.org/#top" # ERROR: Leave out the part after #
  categories = ["core"]

  source {
    url    = "ftp://example.org/a.tar.gz" # ERROR: begins with https:// or http://
    sha256 = "d41d8cd98f00b204e9800998ecf8427e" # ERROR: there are 32 characters. This looks like an MD5 sum
    into   = "../elsewhere" # ERROR: "into" is a folder within the source folder
  }
  source {
    url    = "https://example.org/" # ERROR: must end in the name of a file
    sha256 = "da39a3ee5e6b4b0d3255bfef95601890afd80709" # ERROR: This looks like a SHA-1 sum
    into   = "/abs" # ERROR: "into" is a folder within
    patches = [
      "patches/zos.patch",
      "patches/lost.patch", # ERROR: There is no file "patches/lost.patch" beside the recipe.
      "../zos.patch", # ERROR: Name a file beside the recipe
      "/etc/passwd", # ERROR: Name a file beside the recipe
      "patches\\zos.patch", # ERROR: Name a file beside the recipe
      "patches/zos.patch", # ERROR: The patch "patches/zos.patch" is applied already.
      "patches", # ERROR: it is not a regular file
      "patches/empty.patch", # ERROR: it is empty
      "patches/large.patch", # ERROR: more than the 16777216 bytes allowed
      "patches/link.patch", # ERROR: patches/link.patch is a symbolic link
      "linked/zos.patch", # ERROR: linked is a symbolic link
    ]
  }
  source {
    url    = "https://example.org/b.tar.gz"
    sha256 = "not hexadecimal, but of the right length, which is 64 characters" # ERROR: there are 64 characters
    signature {
      url          = "example.org/b.tar.gz.sig" # ERROR: begins with https:// or http://
      key          = "keys/private.asc" # ERROR: holds a private key
      fingerprints = [
        "155D 3FC5 00C8 3448 6D1E  EA67 7FD9 FCCB 000B EEEE",
        "000BEEEE", # ERROR: A short key id can be forged.
        "sandra", # ERROR: A fingerprint has 40 hexadecimal digits
      ]
    }
    signature { # ERROR: There may be 1 signature blocks at most here.
      key          = "patches/zos.patch" # ERROR: holds no armoured public key
      fingerprints = [] # ERROR: Name one key at least
    }
  }
  source { # ERROR: There is a source with the address https://example.org/b.tar.gz already.
    url    = "https://example.org/b.tar.gz"
    sha256 = "0000000000000000000000000000000000000000000000000000000000000000" # ERROR: Invalid checksum
  }
  build "autotools" {}
}
