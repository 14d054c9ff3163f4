farm "ports" {
  store = # ERROR: Expected the start of an expression
}
