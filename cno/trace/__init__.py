"""Traces of connections: a `Record` for each HTTP/2 frame that is sent or received.

    class TracedClient(Traced, cno.Client):
        pass

    client = TracedClient(...)
    client.trace = Trace(lambda record: print(as_json(record)))

The trace reads the bytes between the connection and its transport, so a connection without a trace
does no work for it. Works for servers and clients. Must never know how records are shown.
"""

from cno.trace.connection import ConnectionTrace, Trace
from cno.trace.counters import ConnectionCounts, Counters
from cno.trace.hook import Several, Tap, Tracer
from cno.trace.json_lines import SECRETS, as_json, without_secrets
from cno.trace.qlog import JsonLines, as_event
from cno.trace.record import Record
from cno.trace.tap import TappedTransport, Traced

__all__ = [
    "SECRETS",
    "ConnectionCounts",
    "ConnectionTrace",
    "Counters",
    "JsonLines",
    "Record",
    "Several",
    "Tap",
    "TappedTransport",
    "Trace",
    "Traced",
    "Tracer",
    "as_event",
    "as_json",
    "without_secrets",
]
