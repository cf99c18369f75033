"""Which rows, in which order: laws that decide and never read."""
