port "GZip" { # ERROR: A port's name is made of lower-case letters
  version    = "1.12/../3" # ERROR: A version becomes part of file names
  summary    = "" # ERROR: The summary is empty.
  licence    = "GPL v3" # ERROR: "v3" stands where AND, OR or WITH is wanted
  homepage   = "www.gnu.org" # ERROR: begins with https:// or http://
  categories = ["compresion", # ERROR: "categories" does not know "compresion". Did you mean "compression"?
    "games", # ERROR: "categories" does not know "games". Known are: ai,
    null, # ERROR: An element of "categories" is null.
  ]

  identity {
    purl = "gzip@1.12" # ERROR: Invalid package URL
    cpes = [
      "cpe:2.3:a:gnu:gzip:1.12:*:*:*:*:*:*:*",
      "cpe:2.3:a:gnu:gzip:1.12", # ERROR: Invalid CPE name
      "cpe:/a:gnu:gzip", # ERROR: Invalid CPE name
    ]
    upstream = "git@example.org:gzip.git" # ERROR: begins with https:// or http:// or git:// or ssh://
  }

  source {
    url    = "https://example.org/a.tar.gz"
    sha256 = "ce5e03e519f637e1f814011ace35c4f87b33c0bbabeec35baf5fbd3479e91956"
  }
  build "autotools" {}
}
