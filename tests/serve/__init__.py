"""`cno serve module:app`, with real processes."""
