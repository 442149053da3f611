"""Decisions of a pool, without connections."""
