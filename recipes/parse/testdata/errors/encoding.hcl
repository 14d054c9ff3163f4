port "gzip" {
  version = "1.12ÿ" # ERROR: this byte is not
}
