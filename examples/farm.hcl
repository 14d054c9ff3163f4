# Copyright The zfarm Authors
# SPDX-License-Identifier: Apache-2.0
#
# A farm on this machine, for trying zfarm out; README.md has the commands. Every
# argument is explained in docs/farm.md.

farm "example" {
  database = "sqlite:farm.db"
  mirrors  = ["upstream"] # where sources are looked for before upstream is asked
  offline  = true         # and upstream is not asked
}

signing {
  key           = "farm.key" # zfarm key generate --out farm
  password_file = "password"
  public        = "farm.pub"
}

# Two folders of this machine stand for two workers. A z/OS worker looks like this:
#
#   worker "lpar1" {
#     address = "ssh://build@lpar1.example.com/u/zfarm"
#     slots   = 2
#     labels  = { compiler = "openxl" }
#   }

worker "left" { address = "local:left" }

worker "right" { address = "local:right" }

retention { builds = "90d" }
