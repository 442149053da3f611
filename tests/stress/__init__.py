"""A load test of a pool, with faults of every kind: `python -m tests.stress --help`."""
