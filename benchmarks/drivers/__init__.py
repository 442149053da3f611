"""The same small servers and clients on each implementation; `benchmarks.engine` says what of."""
