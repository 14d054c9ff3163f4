farm "ports" {
  listen   = "build.example.com:8473"
  insecure = false # ERROR: Other machines reach build.example.com:8473.
  database = "postgres://db" # ERROR: Write "sqlite:FILE"
}
