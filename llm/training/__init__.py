"""One training: loaded, planned, run, recorded."""
