port "gzip" {
  version = "1.12‮" # ERROR: A reader does not see U+202E.
}
