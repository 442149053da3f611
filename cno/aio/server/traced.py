"""Connections whose bytes somebody looks at: `cno.serve(..., trace=)`.

Stays interpreted: `Traced` goes before a compiled class.
"""

from cno.aio.server.connection import Server
from cno.trace.tap import Traced


class TracedServer(Traced, Server):
    """A server's connection."""

    traced_as_server = True
