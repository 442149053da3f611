"""Benchmarks: one module per claim, `python -m benchmarks` for all of them. See README.md."""
