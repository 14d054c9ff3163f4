frm "a" {} # ERROR: Did you mean "farm"?
farm "ports" {
  databse = "sqlite:a" # ERROR: An argument named "databse" is not expected here. Did you mean "database"?
  colour  = "red" # ERROR: Known here: database, insecure, listen, mirrors, offline, sources, store, tls.
  tls = {} # ERROR: Did you mean to define a block of type "tls"?
}
shceduling {} # ERROR: Did you mean "scheduling"?
everything {} # ERROR: Known here: farm, limits, oidc, plugin, probe, rebuild, retention, scheduling, signing, worker.
slots = 3 # ERROR: An argument named "slots" is not expected here.
worker { # ERROR: Write worker "name" { ... }.
  address = "local:"
}
scheduling "main" { # ERROR: No labels are expected for scheduling blocks. Leave it out.
}
worker "lpar1" "lpar2" { # ERROR: Leave it out.
}
worker "a" {
  adress = "local:" # ERROR: Did you mean "address"?
}
worker "b" {} # ERROR: The argument "address" is required, but no definition was found. Add it.
worker "b" { # ERROR: There is a worker "b" on line 20 already.
  address = "local:other"
  scheduling {} # ERROR: Blocks of type "scheduling" are not expected here.
}
worker "größe" { # ERROR: A name is made of letters, digits
  address = "local:third"
}
worker "" { # ERROR: A name is made of letters, digits
  address = "local:fourth"
}
plugin "p" { # ERROR: The argument "sha256" is required # ERROR: The argument "path" is required
}
plugin "p" { # ERROR: There is a plugin "p" on line 31 already.
  path   = "p"
  sha256 = "ce5e03e519f637e1f814011ace35c4f87b33c0bbabeec35baf5fbd3479e91956"
}
rebuild "weekly" { cron = "@weekly" }
rebuild "weekly" { cron = "@daily" } # ERROR: There is a rebuild "weekly" on line 37 already.
scheduling {
  share "" { weight = 1 } # ERROR: The name of an owner is empty.
  share "a" { weight = 1 }
  share "a" { weight = 2 } # ERROR: There is a share "a" on line 41 already.
}
probe {}
probe {} # ERROR: There may be 1 probe here at most.
policy { # ERROR: The name "policy" is reserved for what a release demands. How builds are given to workers is configured in a block "scheduling".
  spread = ["worker"]
}
policy "release" {} # ERROR: The name "policy" is reserved for what a release demands.
worker "c" {
  address = "local:fifth"
  policy {} # ERROR: Blocks of type "policy" are not expected here.
}
