"""The command line: `cno serve` and `cno get`."""
