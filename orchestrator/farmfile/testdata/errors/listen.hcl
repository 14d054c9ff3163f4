farm "ports" {
  listen = ":8473" # ERROR: Other machines reach this address
  store  = "bytes"
  sources = "./bytes/" # ERROR: Artifacts and sources are kept apart.
}
