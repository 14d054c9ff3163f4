# Differences that the port is known to have.
port "perl" {
  version    = "5.40.0"
  summary    = "The Perl language"
  licence    = "GPL-1.0-or-later OR Artistic-1.0-Perl"
  homepage   = "https://www.perl.org/"
  categories = ["language"]
  source {
    url    = "https://www.cpan.org/src/5.0/perl-${version}.tar.gz"
    sha256 = "8c29e06cf42aacc1eafc4077ae2ec6c6fcb96a626157e0593d5e82a34fd403c1"
  }
  build "autotools" {}
  reproduce {
    repeats = 3
    tiers   = [0, 2]
    rule "perl.configured" {
      format  = "text"
      path    = "lib/perl5/*/Config.pm"
      pattern = "^cf_time='(.*)'$"
      tier    = 2
      reason  = "perl records when it was configured"
    }
    rule "build-id" {
      format  = "bytes"
      pattern = "\\$Id: build [0-9a-f]{7} ([0-9-]{10}) \\$"
      tier    = 2
      reason  = "each program says when it was built"
    }
    rule "counter" {
      format = "json"
      field  = "/release/~0count"
      tier   = 0
      reason = "counts up"
    }
  }
}
