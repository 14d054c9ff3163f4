port "gzip" {
  version = "1.12"
  need "ncurses" { version = ">= 6.4" at = ["build"] } # ERROR: Invalid single-argument block definition
  summary = "x"
  summary = "y" # ERROR: The argument "summary" was already set
}
