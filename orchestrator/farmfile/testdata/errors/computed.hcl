farm "ports" {
  store    = env.HOME # ERROR: A farm's file has no variables, functions or operators.
  sources  = "${path}/sources" # ERROR: A farm's file has no variables
  mirrors  = [for m in ["a"] : m] # ERROR: A farm's file has no variables
  offline  = !true # ERROR: A farm's file has no variables
  listen   = ("127.0.0.1:1") # ERROR: A farm's file has no variables
}
worker "a" {
  address = upper("local:") # ERROR: A farm's file has no variables
  slots   = 1 + 1 # ERROR: A farm's file has no variables
  labels  = { a.b = "c", (d) = "e" } # ERROR: A farm's file has no variables
  path    = ["/a", "$${x}", "${"/b"}"] # ERROR: A farm's file has no variables
}
