farm "a" {}
farm "b" {} # ERROR: There may be 1 farm here at most.
