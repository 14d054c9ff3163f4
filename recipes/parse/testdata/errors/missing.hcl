port "gzip" { # ERROR: "version" is required # ERROR: "summary" is required # ERROR: "licence" is required # ERROR: "homepage" is required # ERROR: "categories" is required # ERROR: A port needs a build block.
  source { # ERROR: "url" is required # ERROR: "sha256" is required
    signature { # ERROR: "key" is required # ERROR: "fingerprints" is required
    }
  }
  test "script" { # ERROR: The argument "script" is required
    known_failure "x" { # ERROR: "reason" is required
    }
  }
}
