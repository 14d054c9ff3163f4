port "gzip" {
  version    = "1.12"
  summary    = "Compresses files"
  licence    = "MIT"
  homepage   = "https://example.org/"
  categories = ["core"]

  source {
    url    = "https://example.org/a.tar.gz"
    sha256 = "ce5e03e519f637e1f814011ace35c4f87b33c0bbabeec35baf5fbd3479e91956"
  }
  build "autotools" {}
  reproduce {
    tiers = [0, 2]
    rule "good" {
      format  = "text"
      pattern = "^cf_time='(.*)'$"
      tier    = 2
      reason  = "says when it was configured"
    }
    rule "good" { # ERROR: There is a rule "good" already.
      format  = "json"
      field   = "/a~1b/0/c~0d"
      pattern = "([0-9]+)"
      tier    = 0
      reason  = "counts up"
    }
    rule "Perl Configured" { # ERROR: A rule's name is made of lower-case letters
      format  = "txt" # ERROR: A rule is for "text", "json" or "bytes", not for "txt". Did you mean "text"?
      pattern = "cf_time(.*)"
      tier    = 1 # ERROR: Add 1 to "tiers" of the reproduce block
      reason  = "" # ERROR: The reason is empty.
    }
    rule ".dot" { # ERROR: begins with a letter or digit
      format  = "text"
      path    = "lib/[a/x" # ERROR: has a bracket or backslash without its other half
      pattern = "cf_time(.*" # ERROR: This is no RE2 expression: missing closing )
      tier    = 3 # ERROR: "tier" wants a whole number from 0 to 2.
      reason  = "r2345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890x" # ERROR: at most 200 are shown in one line
    }
    rule "n2345678901234567890123456789012345678901234567890123456789012345" { # ERROR: has 64 characters at most
      format  = "json"
      field   = "release" # ERROR: A field is a JSON pointer and begins with a slash
      pattern = "v([0-9])([0-9])" # ERROR: exactly one group, which is what may differ; this one has 2
      tier    = 0.5 # ERROR: "tier" wants a whole number from 0 to 2.
      reason  = "two\nlines" # ERROR: holds a newline
    }
    rule "everywhere" {
      format  = "text"
      path    = "**/Config.pm" # ERROR: ** does not cross folders here
      pattern = "(.*)" # ERROR: of what stands outside the group, 0 characters are certain
      tier    = 2
      reason  = "Größe, in over 200 bytes: ääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääää" # ERROR: The reason has
    }
    rule "blanks" {
      format  = "text"
      path    = "/lib/x" # ERROR: relative to the package's first folder
      pattern = "^        x=(.*)$" # ERROR: 2 characters are certain
      tier    = 2
      reason  = "most lines begin like this"
    }
    rule "maybe" {
      format  = "bytes"
      path    = "../x" # ERROR: relative to the package's first folder
      pattern = "stamp (?=x)(.*)" # ERROR: This is no RE2 expression: invalid or unsupported Perl syntax
      tier    = 2
      reason  = "looks ahead, which RE2 does not"
    }
    rule "alternative" {
      format  = "bytes"
      path    = "a//b" # ERROR: relative to the package's first folder
      pattern = "^(?:stamp)?(?:wxyz)*(.*?)(?:abcd|x|efgh)[a-z]{4}$" # ERROR: 1 characters are certain
      tier    = 2
      reason  = "nothing is certain to stand there"
    }
    rule "nothing" { # ERROR: A rule for "text" says what may differ
      format = "text"
      tier   = 2
      reason = "something"
    }
    rule "bytes.nothing" { # ERROR: A rule for "bytes" says what may differ
      format = "bytes"
      tier   = 2
      reason = "something"
    }
    rule "json.nothing" { # ERROR: A rule for "json" says which value may differ
      format  = "json"
      pattern = "none" # ERROR: this one has none. Put ( ) around
      tier    = 2
      reason  = "something"
    }
    rule "field" {
      format  = "text"
      field   = "/release" # ERROR: Only a rule for "json" has a field.
      pattern = "release(?:=(.*))*" # ERROR: The group is within a repetition or an alternative
      tier    = 2
      reason  = "something"
    }
    rule "tilde" {
      format  = "json"
      field   = "/a~b" # ERROR: write ~0 for ~
      pattern = "a(b)|c" # ERROR: The group is within a repetition or an alternative
      tier    = 2
      reason  = "something"
    }
    rule "repeated" {
      format  = "bytes"
      pattern = "stamp (?:[0-9a-f]{1000}){1}(?:[0-9a-f]{900})(?:[0-9a-f]{900})(.)" # ERROR: takes too long to match
      tier    = 2
      reason  = "something"
    }
    rule "control" {
      format  = "text"
      path    = "a\nb" # ERROR: no newline or other character that is not printed
      pattern = "stamp\t(.*)" # ERROR: write a tab as \\t
      tier    = 2
      reason  = "something"
    }
    rule "control.field" {
      format  = "json"
      field   = "/\u001b" # ERROR: no newline or other character that is not printed
      pattern = "\u202e(x)" # ERROR: another character as \\x{202e}
      tier    = 2
      reason  = "something"
    }
    rule "empty" { # ERROR: "format" is required # ERROR: "tier" is required # ERROR: "reason" is required
    }
    rule { # ERROR: A rule block has one name, in quotes.
      format = "text"
    }
    rule "names" {
      format  = "text"
      patern  = "stamp (.*)" # ERROR: Did you mean "pattern"?
      pattern = "${join("", [for x in split("", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") : "0123456789012345678901234567890123456789"])}(.*)" # ERROR: A pattern may have 1024 bytes at most.
      tier    = 2
      reason  = "something"
    }
  }
}
