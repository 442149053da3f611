"""The records of a store: connections, requests that wait, origins, decisions.

Knows facts that a driver reports. Must never know how bytes are sent or received.
"""

from collections import OrderedDict
from typing import Any, TypeAlias

from mypy_extensions import i64, mypyc_attr


class Waiter:
    """A request that waits for a connection.

    `unused_only`: over HTTP/1.1, only a connection will do that has had no request, unless a dial
    fails while the origin has connections (`serve_from_idle`). `goes_first`: it waits in front of
    those that wait already. `key` is the driver's. Once the store has decided, there is either a
    `connection`, with a place reserved, or `failed` is true, for `reason`.
    """

    def __init__(self, origin: "Origin", unused_only: bool, goes_first: bool, key: Any) -> None:
        self.origin = origin
        self.unused_only = unused_only
        self.goes_first = goes_first
        self.key = key
        self.ticket: i64 = 0  # requests that came earlier have lower ones
        self.connection: PooledConnection | None = None
        self.failed = False
        self.reason: Any = None


class Origin:
    """The connections to one scheme, host and port, and the requests that wait for one of them.

    `peer` is the driver's. `http2` is the protocol that its last connection spoke, None if that is
    not known yet.
    """

    def __init__(self, name: str, peer: Any, http2: bool | None) -> None:
        self.name = name
        self.peer = peer
        self.http2 = http2
        self.http1_only = False  # its server requires HTTP/1.1
        self.shared: PooledConnection | None = None  # HTTP/2: the one that takes requests
        self.idle: list[PooledConnection] = []  # HTTP/1.1: the last one was used last
        self.live: i64 = 0  # connections that take requests, and dials
        self.dialing: i64 = 0
        self.is_paused = False  # a dial failed while there were connections
        self.waiting: OrderedDict[Waiter, None] = OrderedDict()
        self.waiting_for_unused: set[Waiter] = set()  # HTTP/1.1; those of `waiting`

    def set_http1(self) -> None:
        """Note that its connections speak HTTP/1.1, so that a waiter may need an unused one."""
        if self.http2 is not False:
            self.http2 = False
            self.waiting_for_unused.update(each for each in self.waiting if each.unused_only)

    def is_served(self) -> bool:
        """Return whether all waiters get a connection sooner or later without another dial."""
        return self.http2 is False and self.live > self.dialing

    def has_waiter_for_any(self) -> bool:
        """Return whether a request waits that would take any connection."""
        return len(self.waiting) > len(self.waiting_for_unused)

    def next_for(self, connection: "PooledConnection") -> Waiter | None:
        """Remove and return the first waiter that this connection will do for."""
        for waiter in self.waiting:
            if waiter in self.waiting_for_unused:
                suits = connection.is_http2 or connection.is_unused()
            else:
                suits = True
            if suits:
                self.remove(waiter)
                return waiter
        return None

    def remove(self, waiter: Waiter) -> None:
        """Remove a waiter, if it is there."""
        self.waiting.pop(waiter, None)
        self.waiting_for_unused.discard(waiter)

    def first_ticket(self) -> i64:
        """Return the ticket of the first waiter; a higher one than all if there is none."""
        for waiter in self.waiting:
            return waiter.ticket
        return 1 << 62


@mypyc_attr(allow_interpreted_subclasses=True)
class PooledConnection:
    """One connection of a store. The driver overrides the methods that tell facts.

    Only the store writes the fields; `is_http2` is the driver's, until the connection is made.
    """

    def __init__(self, origin: Origin, is_http2: bool = False) -> None:
        self.origin = origin
        self.is_http2 = is_http2
        self.is_retired = False  # it gets no more requests
        self.is_closed = False  # the store has decided to close it
        self.is_held = False  # the driver inspects it: it gets no requests until that is done
        self.reserved: i64 = 0  # requests that it is promised to, and that have not been sent

    # -- facts, which the driver overrides -------------------------------------------------------

    def is_open(self) -> bool:
        """Return whether it takes requests, now or later."""
        return True

    def is_busy(self) -> bool:
        """Return whether a request is under way on it."""
        return False

    def is_unused(self) -> bool:
        """Return whether it has had no request."""
        return False

    def slots(self) -> int:
        """Return how many requests it takes now, those included that it is promised to.

        HTTP/1.1: 1, or 0 if it is not to get any now.
        """
        return 1

    def requires_http1(self) -> bool:
        """Return whether its server requires HTTP/1.1, and that is possible."""
        return False

    def why_closed(self) -> Any:
        """Return the reason for waiters if it closes before its first request."""
        return None

    # -- what follows from them ------------------------------------------------------------------

    def is_usable(self) -> bool:
        """Return whether the store gives it requests, now or later."""
        return not self.is_retired and self.is_open()

    def is_free(self) -> bool:
        """Return whether it has no request, and is promised to none."""
        return self.reserved == 0 and not self.is_busy()

    def is_reserved_alone(self) -> bool:
        """Return whether it is promised to one request, and has no other."""
        return self.reserved == 1 and not self.is_busy()

    def room(self) -> i64:
        """Return how many more requests it takes now."""
        if self.is_held:
            return 0
        if self.is_http2:
            return self.slots() - self.reserved
        if self.reserved != 0 or self.is_busy():
            return 0
        return self.slots()


class Dial:
    """A decision: make a connection. `http1_only`: it must speak HTTP/1.1.

    The driver reports what becomes of it by `ConnectionStore.made` or `failed`.
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.http1_only = origin.http1_only


class Alarm:
    """A decision: call `ConnectionStore.tick` at this time of the clock.

    An earlier alarm that has not been due yet is no longer needed.
    """

    def __init__(self, at: float) -> None:
        self.at = at


#: The driver makes the connection, wakes the request, closes the connection, or sets the timer.
Decision: TypeAlias = Dial | Waiter | PooledConnection | Alarm
