"""Decisions of a pool of connections, without I/O.

Knows leaves only. Must never know sockets, event loops, threads, or how a request is written.
"""
