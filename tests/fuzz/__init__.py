"""Fuzzing: `python -m tests.fuzz --list`. What it found is replayed by `test_fuzz.py`."""
