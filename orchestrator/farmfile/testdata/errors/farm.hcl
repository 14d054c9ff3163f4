farm "ports" {
  database = "mysql://root:secret@db/zfarm" # ERROR: Write "sqlite:FILE"
  store    = "~/store" # ERROR: ~ means nothing here
  sources  = "" # ERROR: "sources" is empty.
  mirrors  = [
    "ftp://example.com/gnu", # ERROR: A mirror is a folder
    "https://me:secret@example.com/gnu", # ERROR: The address holds a user name or password.
    "file://host/gnu", # ERROR: A mirror is a folder
    "https://example.com/gnu?x=y", # ERROR: A mirror is a folder
    "", # ERROR: A mirror is empty.
    "~/mirror", # ERROR: ~ means nothing here
    5, # ERROR: The elements of "mirrors" are texts.
    null, # ERROR: The elements of "mirrors" are texts.
  ]
  offline  = "yes" # ERROR: "offline" wants true or false, not text.
  listen   = "8473" # ERROR: Write the address to listen on as host:port
  insecure = null # ERROR: null is not a value here.
  tls { # ERROR: The argument "key" is required
    cert = "a.pem"
    # key is missing
  }
  tls {} # ERROR: There may be 1 tls here at most.
}
signing {
  key           = "pkcs11:token=x" # ERROR: keys of kind "pkcs11" are not known
  password_file = "password"
  password_env  = "my secret" # ERROR: not the password itself # ERROR: Remove one of the two.
}
