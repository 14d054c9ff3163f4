farm "ports" {}
scheduling {
  spread = [] # ERROR: Name what the repeats of a build must differ in
  aging  = "100001d" # ERROR: "aging" wants a length of time such as
}
