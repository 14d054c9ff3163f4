farm "ports" {
  store = "%{ if true }a%{ endif }" # ERROR: A farm's file has no %{ } directives. Write %%{ for the two characters.
}
