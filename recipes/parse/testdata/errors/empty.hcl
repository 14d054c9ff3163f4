# ERROR: A recipe needs a port block.
