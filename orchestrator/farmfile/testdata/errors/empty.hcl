# ERROR: Begin the file with farm "NAME" {} and a worker.
