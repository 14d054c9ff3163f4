farm "ports" {}
worker "lpar1" {
  address = "ssh://build@host/u/zfarm"
  lease   = "5m"
}
scheduling {
  spread   = ["worker", "moon", "label:", "worker", "host:x"] # ERROR: "spread" does not know "moon". # ERROR: "spread" does not know "label:" # ERROR: "spread" has "worker" already. # ERROR: "spread" does not know "host:x"
  aging    = 3600 # ERROR: "aging" wants a length of time in quotes, such as "30m", not a number.
  reserve  = "400d" # ERROR: "reserve" wants a length of time from 1s to 365d.
  patience = "5m" # ERROR: Steps on the worker lpar1 end after 5m
  share "a" { weight = 0 } # ERROR: "weight" wants a number from 0.001 to 1000.
  share "b" {} # ERROR: The argument "weight" is required
}
probe {
  every = "1s" # ERROR: "every" wants a length of time from 10s to 1d.
  free  = "2 gigabytes" # ERROR: "free" wants a size in KiB, MiB or GiB
  clock = "-1m" # ERROR: "clock" wants a length of time such as
}
retention {
  builds = "forever" # ERROR: such as "90d", "1h30m" or "45s", or "never".
  logs   = "1m" # ERROR: from 1h to 36500d, or "never".
  grace  = "never" # ERROR: "grace" wants a length of time such as
}
limits {
  upload   = 64 # ERROR: "upload" wants a size in quotes
  requests = -5 # ERROR: "requests" wants a number from 0.1 to 100000.
  burst    = { a = 1 } # ERROR: "burst" wants a whole number, not names with values.
}
