"""Fuzzing: `python -m tests.fuzz --list`. `test_fuzz.py` replays the findings."""
