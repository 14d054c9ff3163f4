port "gzip" { # ERROR: removes the carriage returns
}
