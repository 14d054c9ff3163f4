# A farm with faults, to see them shown.
farm "ports" {
  databse = "sqlite:farm.db"
  listen  = "0.0.0.0:8473"
}

worker "lpar1" {
  address = "ssh://build:secret@lpar1.example.com/u/zfarm"
  slots   = 0
}

worker "lpar1" {
  address = "ssh://build@lpar2.example.com/u/zfarm"
}

scheduling {
  spread = [
    "worker",
    "moon",
  ]
}
