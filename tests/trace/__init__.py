"""Tests of `cno.trace`."""
