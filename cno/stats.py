"""`ConnectionStats`: a look at one connection. Knows numbers and names only.

Stays interpreted: mypyc compiles no dataclass with slots.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ConnectionStats:
    """What a connection is doing: `connection.stats()`, `pool.stats()`, `listener.stats()`.

    The last fields are counted if the connection has a `trace=cno.trace.Counters()`, and empty
    otherwise. All others are known anyway: they cost nothing while nobody looks.
    """

    number: int  #: Of the connection in this process, from 1.
    is_server: bool
    is_http2: bool
    phase: str  #: Of its life (docs/lifecycle.md): OPEN, DRAINING, CLOSED, ….
    streams_open: int  #: Messages of either direction that are not complete.
    streams_by_peer: int  #: Streams that the peer has opened so far. At a server: requests.
    streams_by_us: int  #: Streams that we have opened so far. At a client: requests.
    round_trip: float | None  #: Seconds. None: not known yet, or HTTP/1.1.
    send_window: int | None  #: Bytes of bodies that the peer takes now, on all streams. HTTP/2.
    receive_window: int | None  #: Bytes of bodies that the peer may send now. HTTP/2.
    written: int  #: Bytes given to the transport.
    unsent: int  #: Of these, bytes that the transport has not given to the system yet.
    blocked_streams: int  #: Streams whose output waits for a window, or for the transport.
    goaway_code: int | None  #: The error code of the GOAWAY that the peer has sent.
    limit_hit: str  #: The field of `Limits` that has ended the connection; '': none.
    #: The spent share of each budget against abuse, by the field of `Limits`. Beyond 1.0 the
    #: connection ends. Budgets of which nothing is spent are left out.
    limits_near: dict[str, float] = field(default_factory=dict)
    octets_sent: int = 0
    octets_received: int = 0
    frames_sent: dict[str, int] = field(default_factory=dict)  #: By type.
    frames_received: dict[str, int] = field(default_factory=dict)
    resets_sent: dict[str, int] = field(default_factory=dict)  #: By error code.
    resets_received: dict[str, int] = field(default_factory=dict)
