port "gzip" {
  version = "%{ if true }1%{ endif }" # ERROR: A recipe has no %{ } directives.
}
