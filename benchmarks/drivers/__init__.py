"""The same small servers and clients on each implementation, for `benchmarks.engine`."""
