farm "ports" {
  listen   = "10.0.0.7:8473"
  insecure = true # ERROR: With a tls block the server is not insecure.
  tls {
    cert = "a"
    key  = "b"
  }
}
signing {
  key           = "file:" # ERROR: names no file
  password_file = 5 # ERROR: "password_file" wants text in quotes, not a number.
  public        = ["a"] # ERROR: "public" wants text in quotes, not a list.
}
