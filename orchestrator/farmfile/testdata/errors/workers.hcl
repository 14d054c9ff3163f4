farm "ports" {}
worker "a" {
  address     = "ssh://build@host" # ERROR: it names no folder for workspaces
  slots       = 0 # ERROR: "slots" wants a whole number from 1 to 1000.
  labels      = { 5 = "a", "b c" = "d", e = "f g", h = 7, i = "x", i = "y" } # ERROR: The names in "labels" are texts. # ERROR: The name of a label # ERROR: The value of a label # ERROR: The values in "labels" are texts. # ERROR: "labels" has "i" already.
  known_hosts = "k"
  host_keys   = [] # ERROR: Host keys are pinned by "known_hosts" or by "host_keys".
  identity    = "id" # ERROR: "identity" wants a list of texts
  shell       = "bin/bash" # ERROR: Write the name of a program
  path        = ["bin", "/a:/b", "/ok"] # ERROR: The elements of "path" are absolute folders # ERROR: The elements of "path" are absolute folders
  lease       = "1s" # ERROR: "lease" wants a length of time from 2s to 30d.
}
worker "b" {
  address   = "https://host/u/zfarm" # ERROR: it does not begin with ssh://
  slots     = 1.5 # ERROR: "slots" wants a whole number
  labels    = ["a"] # ERROR: "labels" wants names with values
  host_keys = [] # ERROR: A worker without a pinned host key is not talked to.
  identity  = ["", "~/.ssh/id"] # ERROR: The name of a file is empty. # ERROR: ~ means nothing here
  shell     = "rm -rf" # ERROR: Write the name of a program
  lease     = "half an hour" # ERROR: "lease" wants a length of time such as
}
worker "c" {
  address   = "ssh://build:secret@host/u/zfarm" # ERROR: it has a password in it
  slots     = "2" # ERROR: "slots" wants a whole number, not text.
  host_keys = [
    "ssh-dss AAAA", # ERROR: A host key is written
    "lpar1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4Yc0w7hQz0zDPEK0Zg1bAwBwGkGq2bS6g1qk2V0f3s", # ERROR: without the name of the host before it
    "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIJ4Yc0w7hQz0zDPEK0Zg1bAwBwGkGq2bS6g1qk2V0f3s", # ERROR: A host key is written
    "ssh-ed25519 !!!!", # ERROR: A host key is written
  ]
}
worker "d" { address = "ssh://host/u/zfarm" } # ERROR: it names no user
worker "e" { address = "ssh://build@/u/zfarm" } # ERROR: it names no host
worker "f" { address = "ssh://build@-oProxyCommand/u" } # ERROR: it names no host
worker "g" { address = "ssh://build@host:0/u" } # ERROR: its port is not one from 1 to 65535
worker "h" { address = "ssh://build@host/u?name=x" } # ERROR: settings stand in the block
worker "i" { address = "ssh://build@host/u#x" } # ERROR: settings stand in the block
worker "j" { address = "ssh://build@host/u/%20x" } # ERROR: it has blanks
worker "k" { address = "ssh://build@host:x/u" } # ERROR: it is no URL; look at its port
worker "q" { address = "ssh://build@host:99999/u" } # ERROR: its port is not one from 1 to 65535
worker "r" { address = "local:/srv?root=/x" } # ERROR: settings stand in the block
worker "l" { address = "ssh://build@host/u" }
worker "m" { address = "ssh://other@HOST:22/u/" } # ERROR: m is at the address of l.
worker "n" {
  address  = "local:"
  identity = ["id"] # ERROR: Nobody logs in to a local worker.
}
worker "o" { address = "local:" } # ERROR: o is at the address of n.
worker "p" { address = "local:~/x" } # ERROR: ~ means nothing here
