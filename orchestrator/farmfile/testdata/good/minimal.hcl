farm "home" {}

worker "here" { address = "local:" }
