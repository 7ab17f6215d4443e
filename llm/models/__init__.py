"""Models by name, and those made on first use."""
