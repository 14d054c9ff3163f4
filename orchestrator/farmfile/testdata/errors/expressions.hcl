farm "${name}" {} # ERROR: Template sequences are not allowed in this string.
