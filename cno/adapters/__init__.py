"""The common parts of the transports of httpx and httpx2. Nothing here is public."""
