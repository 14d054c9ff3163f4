port "gzip" {
  version = "1.12[2J" # ERROR: A reader does not see U+001B.
}
