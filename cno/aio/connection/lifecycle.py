"""The life cycle of a connection: phases, events, and the phase that each event leads to.

A phase is a number that grows with the age of a connection, so that one comparison answers most
questions: `phase >= FLUSHING` means that either side is closing the connection, and no input is
accepted; `phase >= LOST` that the transport is gone. `TRANSITIONS` is the whole table;
`python -m tests.lifecycle_table` draws it in docs/lifecycle.md. A leaf: knows numbers and words.
Must never know a connection.
"""

import asyncio
from typing import Final, final

from mypy_extensions import i64

from cno.errors import Reason

# -- phases ----------------------------------------------------------------------------------------

#: Waits for a transport.
CONNECTING: Final = 0
#: Messages go both ways.
OPEN: Final = 1
#: `shutdown()` has been called: no stream begins once the peer has learnt of it; the connection
#: closes after the last open one. (After `max_connection_age` or `max_requests_per_connection` the
#: connection accepts no more requests either, but remains OPEN: `shutdown_timeout` does not apply.)
DRAINING: Final = 2
#: HTTP/1.1 server: the client has sent FIN; the server answers the requests before it.
HALF_CLOSED: Final = 3
#: `close()` has been called: input is ignored, and pending output goes to the transport.
FLUSHING: Final = 4
#: Our output is complete, in clear text with a FIN. The peer may still send, and has time to read.
LINGERING: Final = 5
#: The transport is closing: close() or abort() of the transport has been called.
CLOSING: Final = 6
#: The transport is gone. Bytes received before that are still being parsed.
LOST: Final = 7
#: Every waiter has its result or its error.
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
#: The application, a timer or a limit has called shutdown().
SHUTDOWN: Final = 1
#: HTTP/1.1 server, clear text: the client has sent FIN, and its requests are complete.
EOF_RECEIVED: Final = 2
#: A tunnel opens, and the client has sent FIN already.
TUNNEL_OPENED: Final = 3
#: The application, a timer or the engine has called close(). The engine does so after a connection
#: error, and after the last stream of a connection that drains.
CLOSE: Final = 4
#: The application, a timer or a limit has called abort(); or `linger_timeout` has passed.
ABORT: Final = 5
#: The transport is not closed yet: a close while the peer sends would make its system drop unread
#: input (RFC 9112 9.6). In clear text, FIN ends our side; TLS cannot half-close.
LINGER_BEGUN: Final = 6
#: The transport is closed or, where an orderly end would mislead the peer, aborted.
CLOSE_TRANSPORT: Final = 7
#: The event loop has called connection_lost(); or this side has given the peer up: a timer, or FIN
#: of a client whose response lasts until the end of the connection and is incomplete.
CONNECTION_LOST: Final = 8
#: All received bytes are parsed, and every waiter has its result or its error.
WAITERS_DONE: Final = 9
#: Another protocol takes over the transport, when a tunnel opens.
HAND_OVER: Final = 10

EVENTS: Final = (
    "CONNECTION_MADE",
    "SHUTDOWN",
    "EOF_RECEIVED",
    "TUNNEL_OPENED",
    "CLOSE",
    "ABORT",
    "LINGER_BEGUN",
    "CLOSE_TRANSPORT",
    "CONNECTION_LOST",
    "WAITERS_DONE",
    "HAND_OVER",
)

# -- close modes: how close_transport() closes the transport; the highest one asked for counts -----

#: Orderly: pending output has `shutdown_timeout` to go out; that of a client `linger_timeout`.
ORDERLY: Final = 0
#: Orderly: pending output has `linger_timeout` to go out.
SHORT: Final = 1
#: Close our side only, and give the peer `linger_timeout` to stop sending and to read the last
#: message. TLS cannot half-close: HTTP/1.1 waits with both sides open, HTTP/2 uses `SHORT`.
LINGER: Final = 2
#: Abort: neither the rest of the output nor that of the input is of use.
CUT: Final = 3
#: Abort with RST: an orderly end would make half a message seem complete.
RESET: Final = 4

CLOSE_MODES: Final = ("ORDERLY", "SHORT", "LINGER", "CUT", "RESET")

# -- how a connection ended ------------------------------------------------------------------------

#: The peer has not closed its side, as far as the event loop has said.
NO_END: Final = 0
#: FIN without the close_notify of TLS: an attacker on the path can send one (RFC 8446 6.1).
BARE_END: Final = 1
#: Orderly, by the peer: FIN in clear text, close_notify over TLS.
FULL_END: Final = 2
#: This side has closed or aborted the connection, and ignored all later input.
CLOSED_HERE: Final = 3
#: The network failed, or the connection was lost without FIN.
CUT_OFF: Final = 4

ENDS: Final = ("NO_END", "BARE_END", "FULL_END", "CLOSED_HERE", "CUT_OFF")

# -- the table -------------------------------------------------------------------------------------

#: (phases, event, the next phase, what is done then). An event that is not here changes nothing.
TRANSITIONS: Final[tuple[tuple[tuple[int, ...], int, int, str], ...]] = (
    (
        (CONNECTING,),
        CONNECTION_MADE,
        OPEN,
        "Start the engine and the timer (`Connection.connection_made`).",
    ),
    (
        (CONNECTING,),
        CLOSE,
        FLUSHING,
        "Let `wait_closed()` return: there may never be a transport (`ending.close`).",
    ),
    (
        (CONNECTING,),
        ABORT,
        FLUSHING,
        "Let `wait_closed()` return: there may never be a transport (`ending.abort`).",
    ),
    (
        (FLUSHING,),
        CONNECTION_MADE,
        CLOSING,
        "Abort the transport (`Connection.connection_made`).",
    ),
    (
        (OPEN,),
        SHUTDOWN,
        DRAINING,
        "Send GOAWAY, or `connection: close` with the next response; start `shutdown_timeout` "
        "(`Connection.shutdown`).",
    ),
    (
        (OPEN, DRAINING),
        EOF_RECEIVED,
        HALF_CLOSED,
        "Answer requests for `half_closed_timeout` (`ending.half_closed`).",
    ),
    (
        (HALF_CLOSED,),
        TUNNEL_OPENED,
        OPEN,
        "End the tunnel's input; start the timer again (`intake.retry`). If shutdown() has been "
        "called, SHUTDOWN follows.",
    ),
    (
        (OPEN, DRAINING, HALF_CLOSED),
        CLOSE,
        FLUSHING,
        "Flush, and close the transport by its close mode (`ending.close_transport`).",
    ),
    (
        (FLUSHING,),
        LINGER_BEGUN,
        LINGERING,
        "Send FIN in clear text; drop input for `linger_timeout`, then abort "
        "(`ending.close_transport`).",
    ),
    (
        (FLUSHING,),
        CLOSE_TRANSPORT,
        CLOSING,
        "Abort the transport if it is not gone after `shutdown_timeout` or `linger_timeout` "
        "(`ending.give_time`).",
    ),
    (
        (OPEN, DRAINING, HALF_CLOSED, FLUSHING, LINGERING),
        ABORT,
        CLOSING,
        "Drop pending output; abort the transport (`ending.abort`).",
    ),
    (
        (CONNECTING, OPEN, DRAINING, HALF_CLOSED, FLUSHING, LINGERING, CLOSING),
        CONNECTION_LOST,
        LOST,
        "Stop the timer. Parse the received bytes, unless this side had closed the connection "
        "(`ending.lost`).",
    ),
    (
        (LOST,),
        WAITERS_DONE,
        CLOSED,
        "Let `wait_closed()` return; a listener forgets the connection once its handlers have "
        "returned (`ending.report_loss`).",
    ),
    (
        (OPEN, DRAINING),
        HAND_OVER,
        CLOSED,
        "Flush; fail the waiting calls; leave the transport to another protocol (`ending.detach`).",
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


@final
class Lifecycle:
    """How far a connection is in its life, and how it ends."""

    def __init__(self) -> None:
        self.phase: i64 = CONNECTING  # written by `fire` alone
        self.close_mode: i64 = ORDERLY  # written by `close_by` alone
        self.peer_end: i64 = NO_END
        self.connected_at = 0.0  # by the loop's clock; 0: no transport yet
        self.drain_since = 0.0  # when shutdown() was called; 0: never
        self.loss: Exception | None = None  # the argument of connection_lost()
        self.hung_up = False  # the peer or the network ended it, between messages
        self.cause = "the connection is closed"  # the text for errors
        self.timed_out: Reason | None = None  # which limit ended the connection
        self.closed_waiter: asyncio.Future[None] | None = None

    def fire(self, event: i64) -> bool:
        """Go to the phase that an event leads to. Return whether the phase has changed."""
        before = self.phase
        self.phase = after(before, event)
        return self.phase != before

    def close_by(self, mode: i64) -> None:
        """Select how the transport is closed, unless a harsher way is selected already."""
        if self.close_mode < mode:
            self.close_mode = mode
