farm "ports" {} # ‮ # ERROR: A reader does not see U+202E.
