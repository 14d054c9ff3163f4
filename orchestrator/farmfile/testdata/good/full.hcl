farm "ports" {
  database = "postgres://zfarm@db.example.com:5432/zfarm?sslmode=verify-full"
  store    = "/srv/zfarm/store"
  sources  = "cache/sources"
  mirrors  = ["/srv/mirror", "mirror", "file:///srv/more", "https://mirror.example.com/gnu/"]
  offline  = true
  listen   = "0.0.0.0:8473"

  tls {
    cert = "tls/server.pem"
    key  = "tls/server.key"
  }
}

signing {
  key           = "file:keys/farm.key"
  password_file = "keys/password"
  public        = "keys/farm.pub"
}

worker "lpar1" {
  address   = "ssh://build@lpar1.example.com/u/zfarm"
  slots     = 3
  labels    = { compiler = "openxl", "zos-3.1" = "" }
  host_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4Yc0w7hQz0zDPEK0Zg1bAwBwGkGq2bS6g1qk2V0f3s lpar1"]
  identity  = ["keys/id_ed25519"]
  shell     = "/bin/sh"
  path      = ["/usr/lpp/IBM/foz/v1r1/bin"]
  lease     = "1h30m"
}

worker "lpar2" {
  address     = "ssh://build@[2001:db8::7]:2022/u/zfarm"
  known_hosts = "known_hosts"
}

worker "here" {
  address = "local:work"
  slots   = 2
}

scheduling {
  spread   = ["worker", "release", "label:site", "tool:clang"]
  aging    = "2h"
  reserve  = "20m"
  patience = "5m"
  share "team-base" { weight = 2 }
  share "https://github.com/zfarm" { weight = 0.5 }
}

oidc {
  issuer   = "https://login.example.com/realms/ports"
  audience = "zfarm"
  name     = "email"
  rule {
    claim = "groups"
    value = "zos-admins"
    roles = ["admin"]
  }
  rule {
    claims = { groups = "porters-*", site = "muc" }
    roles  = ["maintainer", "release"]
    ports  = ["gzip", "lib*"]
  }
}

rebuild "weekly" {
  cron = "0 3 * * 0"
}

rebuild "libraries" {
  cron     = "@daily"
  ports    = ["lib*"]
  priority = -2
}

probe {
  every = "10m"
  free  = "2GiB"
  clock = "30s"
}

retention {
  builds = "180d"
  logs   = "30d12h"
  grace  = "48h"
}

limits {
  upload   = "16MiB"
  requests = 5.5
  burst    = 20
}

plugin "autotools" {
  path   = "/usr/local/bin/zfarm"
  sha256 = "ce5e03e519f637e1f814011ace35c4f87b33c0bbabeec35baf5fbd3479e91956"
}
