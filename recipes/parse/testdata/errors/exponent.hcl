port "gzip" {
  version = 1e9 # ERROR: Write the number out
}
