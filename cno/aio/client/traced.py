"""Connections whose bytes somebody looks at: `cno.Pool(..., trace=)`.

Stays interpreted: `Traced` goes before a compiled class.
"""

from cno.aio.client.connection import Client
from cno.trace.tap import Traced


class TracedClient(Traced, Client):
    """A client's connection."""
