port "gzip" {
  version    = "1.12"
  summary    = join("", [for a in split("", "aaaaaaaaaaaaaaaa") : join("", [for b in split("", "aaaaaaaaaaaaaaaa") : join("", [for c in split("", "aaaaaaaaaaaaaaaa") : join("", [for d in split("", "aaaaaaaaaaaaaaaa") : "aaaaaaaaaaaaaaaa"])])])]) # ERROR: could grow beyond what a recipe may compute
  licence    = replace(replace(replace(replace(replace("aaaaaaaaaaaaaaaa", "a", "aaaaaaaaaaaaaaaa"), "a", "aaaaaaaaaaaaaaaa"), "a", "aaaaaaaaaaaaaaaa"), "a", "aaaaaaaaaaaaaaaa"), "a", "aaaaaaaaaaaaaaaa") # ERROR: could grow beyond
  homepage   = [for a in ["xxxxxxxxxxxxxxxxxxxx"] : [for b in ["${a}${a}${a}${a}"] : [for c in ["${b}${b}${b}${b}"] : [for d in ["${c}${c}${c}${c}"] : [for e in ["${d}${d}${d}${d}"] : [for f in ["${e}${e}${e}${e}"] : [for g in ["${f}${f}${f}${f}"] : [for h in ["${g}${g}${g}${g}"] : "${h}${h}${h}${h}"]]]]]]]][0] # ERROR: could grow beyond
  categories = ["core"]

  source {
    url    = [for a in [["xxxxxxxxxxxxxxxxxxxxxxxxx"]] : [for b in [concat(a, a, a, a, a, a, a, a)] : [for c in [concat(b, b, b, b, b, b, b, b)] : [for d in [concat(c, c, c, c, c, c, c, c)] : [for e in [concat(d, d, d, d, d, d, d, d)] : join("", concat(e, e, e, e, e, e, e, e))]]]]] # ERROR: could grow beyond
    sha256 = "ce5e03e519f637e1f814011ace35c4f87b33c0bbabeec35baf5fbd3479e91956"
  }
  build "autotools" {
    env = { for k, v in { for g in ["a", "b", "c", "d", "e", "f", "g", "h"] : "x" => g... } : k => join("", [for a in v : join("", [for b in v : join("", [for c in v : join("", [for d in v : join("", [for e in v : join("", [for f in v : join("", [for g in v : join("", v)])])])])])])]) } # ERROR: could grow beyond
    # A modest loop is fine.
    configure = [for o in ["nls", "rpath", "static"] : "--disable-${upper(o)}"]
  }
}
