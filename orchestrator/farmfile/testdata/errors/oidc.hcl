farm "ports" {}
oidc { # ERROR: Without a rule, nobody whom this issuer knows may do anything.
  issuer   = "http://login.example.com" # ERROR: An issuer is an https:// address
  audience = "" # ERROR: "audience" is empty.
}
oidc {
  issuer   = "https://login.example.com"
  audience = "zfarm"
  rule { # ERROR: Say whose tokens the rule is for
    roles = ["owner", "reader", "reader"] # ERROR: "roles" does not know "owner". Known are: reader, release, maintainer, admin. # ERROR: "roles" has "reader" already.
  }
  rule {
    claim = "groups"
    value = "[" # ERROR: The pattern "[" has a bracket
    roles = ["maintainer"] # ERROR: A maintainer may submit the ports that "ports" names.
  }
  rule {
    claim  = "groups"
    claims = { a = "b" } # ERROR: Write "claim" and "value", or "claims" for several at once.
    roles  = [] # ERROR: Give one of reader, release, maintainer and admin
  }
  rule {
    claims = {} # ERROR: A rule without claims would fit every token
    roles  = ["reader"]
    ports  = ["a"] # ERROR: "ports" says what a maintainer may submit
  }
  rule {
    claims = { "" = "a", b = "" } # ERROR: The name of a claim is empty. # ERROR: The value of a claim is empty.
    roles  = "reader" # ERROR: "roles" wants a list of texts
    ports  = [] # ERROR: Name a port at least
  }
}
oidc {
  issuer   = "https://login.example.com" # ERROR: There is an oidc block with this issuer already.
  audience = "zfarm"
  rule {
    claim = "sub"
    value = "x"
    roles = ["maintainer"]
    ports = ["[", "Gzip", "a/b", "lib*", ""] # ERROR: has a bracket or backslash # ERROR: A pattern is like the name of a port # ERROR: A pattern is like the name of a port # ERROR: A pattern is like the name of a port
  }
}
rebuild "a" { cron = "0 3 * *" } # ERROR: it has 4 fields, not 5.
rebuild "b" { cron = "0 3 31 2 *" } # ERROR: no day is ever like that.
rebuild "c" { cron = "TZ=0 3 * * *" } # ERROR: it has signs that no field has.
rebuild "d" { cron = "@every 1h" } # ERROR: it has 2 fields, not 5.
rebuild "e" { cron = "61 3 * * *" } # ERROR: end of range (61) above maximum (59)
rebuild "f" { cron = "*/0 3 * * *" } # ERROR: Write minute, hour
rebuild "g" {
  cron     = "@weekly"
  priority = 101 # ERROR: "priority" wants a whole number from -100 to 100.
  ports    = "gzip" # ERROR: "ports" wants a list of texts
}
plugin "p" {
  path   = "plugin"
  sha256 = "1.12" # ERROR: "sha256" wants the 64 hexadecimal digits
}
