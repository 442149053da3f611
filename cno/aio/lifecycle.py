"""The life of a connection: its phases, what can happen, and which phase that leads to.

A phase is a number that grows with the age of a connection, so that one comparison answers most
questions: `phase >= FLUSHING` means that close() has been called, `phase >= LOST` that there is no
transport any more. `TRANSITIONS` is the whole table; `python -m tests.lifecycle_table` draws it in
docs/lifecycle.md. A leaf: knows numbers and words. Must never know a connection.
"""

from typing import Final

from mypy_extensions import i64

# -- phases ----------------------------------------------------------------------------------------

#: There is no transport yet.
CONNECTING: Final = 0
#: Messages go both ways.
OPEN: Final = 1
#: `shutdown()` has been called: there are no new streams; the connection closes after the last one.
DRAINING: Final = 2
#: HTTP/1.1 server: the client sends no more. What it had asked for is being answered.
HALF_CLOSED: Final = 3
#: `close()` has been called: input is ignored, and what has been written goes to the transport.
FLUSHING: Final = 4
#: Our side of the transport is closed. The peer may still be sending, and has time to read.
LINGERING: Final = 5
#: The transport has been told to close, or to abort.
CLOSING: Final = 6
#: The transport is gone. What had been received before is still being parsed.
LOST: Final = 7
#: Everybody who waited for something has been told.
CLOSED: Final = 8

PHASES: Final = (
    "CONNECTING",
    "OPEN",
    "DRAINING",
    "HALF_CLOSED",
    "FLUSHING",
    "LINGERING",
    "CLOSING",
    "LOST",
    "CLOSED",
)

# -- events ----------------------------------------------------------------------------------------

#: The event loop has a transport for the connection.
CONNECTION_MADE: Final = 0
#: The application, a timer or a limit wants no new streams.
SHUTDOWN: Final = 1
#: HTTP/1.1, in clear text: the client has sent FIN behind requests that are complete.
EOF_RECEIVED: Final = 2
#: What came before the client's FIN turns out to be all of its part of a tunnel.
TUNNEL_OPENED: Final = 3
#: The application, a timer or the engine has called close(); of the engine: after an error of the
#: peer, or the last stream.
CLOSE: Final = 4
#: The application, a timer or a limit has called abort().
ABORT: Final = 5
#: Our side of the transport is closed at first: what the peer still sends must not make its system
#: drop what it has not read.
WRITE_EOF: Final = 6
#: The transport is closed, or aborted since an end in order would mislead.
CLOSE_TRANSPORT: Final = 7
#: The transport is gone, by whomever.
CONNECTION_LOST: Final = 8
#: All that had been received is parsed, and all who waited have been told.
TOLD: Final = 9
#: Client: another protocol takes the transport over, at the beginning of a tunnel.
HAND_OVER: Final = 10

EVENTS: Final = (
    "CONNECTION_MADE",
    "SHUTDOWN",
    "EOF_RECEIVED",
    "TUNNEL_OPENED",
    "CLOSE",
    "ABORT",
    "WRITE_EOF",
    "CLOSE_TRANSPORT",
    "CONNECTION_LOST",
    "TOLD",
    "HAND_OVER",
)

# -- how the transport is closed, in the end -------------------------------------------------------

#: In order: what has been written arrives, in `shutdown_timeout`.
IN_ORDER: Final = 0
#: In order, in `linger_timeout`.
IN_SHORT: Final = 1
#: Our side first: the peer may still be sending, and must be able to read why it should not. Over
#: TLS, which has no such half, HTTP/1.1 waits as long, and HTTP/2 ends `IN_SHORT`.
WITH_LINGER: Final = 2
#: Aborted: what is left to write or to read helps nobody.
BY_ABORT: Final = 3
#: Aborted, and seen to be: an end in order would seem to be that of a message.
BY_RESET: Final = 4

CLOSINGS: Final = ("IN_ORDER", "IN_SHORT", "WITH_LINGER", "BY_ABORT", "BY_RESET")

# -- how the peer's side ended ---------------------------------------------------------------------

#: It has not, or the event loop has not said so.
NO_END: Final = 0
#: By FIN, where TLS was to end with close_notify: anybody on the way can do that.
BARE_END: Final = 1
#: In order: by FIN in clear text, by close_notify over TLS.
FULL_END: Final = 2
#: The connection has been closed or aborted here; what came after that was ignored.
CLOSED_HERE: Final = 3
#: By an error of the network, or the connection was lost without a FIN.
CUT_OFF: Final = 4

ENDS: Final = ("NO_END", "BARE_END", "FULL_END", "CLOSED_HERE", "CUT_OFF")

# -- the table -------------------------------------------------------------------------------------

#: (phases, event, the next phase, what is done then). An event that is not here changes nothing.
TRANSITIONS: Final = (
    (
        (CONNECTING,),
        CONNECTION_MADE,
        OPEN,
        "The engine begins; a timer watches the peer (`Connection.connection_made`).",
    ),
    (
        (CONNECTING,),
        CLOSE,
        FLUSHING,
        "Nothing, until there is a transport (`Connection.close`).",
    ),
    (
        (CONNECTING,),
        ABORT,
        FLUSHING,
        "Nothing, until there is a transport (`Output.abort`).",
    ),
    (
        (FLUSHING,),
        CONNECTION_MADE,
        CLOSING,
        "The transport is aborted at once (`Connection.connection_made`).",
    ),
    (
        (OPEN,),
        SHUTDOWN,
        DRAINING,
        "The peer is told that there will be no new streams; `shutdown_timeout` runs "
        "(`Connection.shutdown`).",
    ),
    (
        (OPEN, DRAINING),
        EOF_RECEIVED,
        HALF_CLOSED,
        "Requests are answered for `half_closed_timeout` (`ending.half_closed`).",
    ),
    (
        (HALF_CLOSED,),
        TUNNEL_OPENED,
        OPEN,
        "The tunnel's reader sees its end; timers go on (`intake.retry`). If `shutdown()` has been "
        "called, SHUTDOWN follows.",
    ),
    (
        (OPEN, DRAINING, HALF_CLOSED),
        CLOSE,
        FLUSHING,
        "Once nothing more is being written, the transport is closed (`ending.close_transport`).",
    ),
    (
        (FLUSHING,),
        WRITE_EOF,
        LINGERING,
        "What comes is dropped, for `linger_timeout` (`ending.close_transport`).",
    ),
    (
        (FLUSHING,),
        CLOSE_TRANSPORT,
        CLOSING,
        "The transport gets time to write what it has: `shutdown_timeout`, or `linger_timeout` "
        "(`ending.give_time`).",
    ),
    (
        (OPEN, DRAINING, HALF_CLOSED, FLUSHING, LINGERING),
        ABORT,
        CLOSING,
        "The transport is aborted; what has not been written is dropped (`Output.abort`).",
    ),
    (
        (CONNECTING, OPEN, DRAINING, HALF_CLOSED, FLUSHING, LINGERING, CLOSING),
        CONNECTION_LOST,
        LOST,
        "Timers stop. Unless the connection was closed here, what had been received is parsed, in "
        "as many turns of the event loop as that takes (`ending.lost`).",
    ),
    (
        (LOST,),
        TOLD,
        CLOSED,
        "`wait_closed()` returns; a server's connection is done with when its handlers are "
        "(`ending.tell`).",
    ),
    (
        (OPEN, DRAINING),
        HAND_OVER,
        CLOSED,
        "Timers stop; the transport belongs to another protocol (`Client.hand_over`).",
    ),
)


def _compiled() -> bytes:
    """Return the next phase for each phase and event, those of the first phase first."""
    table = bytearray()
    for phase in range(len(PHASES)):
        table += bytes((phase,)) * len(EVENTS)
    for phases, event, following, _ in TRANSITIONS:
        for phase in phases:
            table[phase * len(EVENTS) + event] = following
    return bytes(table)


_NEXT: Final = _compiled()
_WIDTH: Final = len(EVENTS)


def after(phase: i64, event: i64) -> i64:
    """Return the phase that an event leads to; the same phase if the event means nothing there."""
    return _NEXT[phase * _WIDTH + event]
