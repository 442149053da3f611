"""A client's connection that belongs to a pool.

Tells the pool's store the facts about the connection, and the pool whenever they may have changed.
Must never know who waits for it, or why.
"""

import asyncio
from typing import Any, Final

from mypy_extensions import i64, mypyc_attr

from cno.aio.client.connect_errors import closed_at_once
from cno.aio.client.connection import MAX_BLIND, Client
from cno.aio.client.unread_input import has_input, poller_of, socket_number
from cno.aio.client.urls import Target
from cno.aio.connection.lifecycle import FLUSHING
from cno.aio.connection.timeouts import is_greeting
from cno.const import CNO_RST_HTTP_1_1_REQUIRED
from cno.limits import Limits
from cno.pool.connection import Origin, PooledConnection
from cno.settings import SettingsDict

#: Seconds in which a server must answer a PING after it has left a request unanswered. Then other
#: requests go to another connection.
DOUBT: Final = 1.0


@mypyc_attr(allow_interpreted_subclasses=True)
class PoolListener:
    """Receives the events of a pool's connections."""

    def changed(self, client: "PooledClient") -> None:
        """It takes more requests than before, or none any more."""

    def lost(self, client: "PooledClient") -> None:
        """It is closed."""

    def silent(self, client: "PooledClient") -> None:
        """It has not answered a PING, and probably never will."""

    def refuses(self, client: "PooledClient") -> None:
        """Its server has allowed no requests for too long."""

    def can_use_http1(self, client: "PooledClient") -> bool:
        """Return whether HTTP/1.1 can be offered to its server instead of HTTP/2."""
        return False


class PooledClient(Client):
    """A client's connection in a pool. `entry` is the store's record, once it is made."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: PoolListener,
        target: Target,
        force_http2: bool,
        settings: SettingsDict | None,
        limits: Limits,
    ) -> None:
        super().__init__(
            loop,
            target.authority,
            target.scheme,
            force_http2=force_http2,
            settings=settings,
            limits=limits,
        )
        self.entry: ClientConnection | None = None
        self._listener = listener
        self._changed = False  # by the input that is being read
        self._poller: Any = None
        self._leaving: asyncio.TimerHandle | None = None  # to look for bodies that nobody reads
        self._doubted: asyncio.TimerHandle | None = None  # until when a PING is to be answered

    def slots(self) -> int:
        """Return how many requests it takes now, if it is open at all."""
        if self._transport_state.full or self._timeouts.in_doubt:
            return 0
        if not self._http2:
            return 1
        most: i64 = self._remote._max_concurrent_streams
        if most > MAX_BLIND and is_greeting(self):
            most = MAX_BLIND
        return int(most - self._count_local)

    def requires_http1(self) -> bool:
        """Return whether the server requires HTTP/1.1, and the pool can offer that alone."""
        return self.was_told_http1() and self._listener.can_use_http1(self)

    def was_told_http1(self) -> bool:
        """Return whether the server has ended the connection because it requires HTTP/1.1."""
        return self._goaway_code() == CNO_RST_HTTP_1_1_REQUIRED

    def passed_over(self, stream: i64) -> bool:
        """Return whether the server has ended the connection by GOAWAY after other requests, and
        before this one."""
        return self._http2 and 0 < self._h2.goaway_received < stream

    def has_input(self) -> bool:
        """Return whether something has come that has not been read yet: the end, perhaps."""
        if self._poller is None:
            number = socket_number(self.transport)
            if number < 0:
                return False
            self._poller = poller_of(number)
            if self._poller is None:
                return has_input(number)
        return bool(self._poller.poll(0))

    # -- what the connection asks ----------------------------------------------------------------

    def _freed(self) -> None:
        super()._freed()
        if self._intake.parsing:
            self._changed = True
        elif self.entry is not None:
            self._listener.changed(self)

    def _requests_wait(self) -> bool:
        entry = self.entry
        awaited = entry is not None and entry.origin.shared is entry and bool(entry.origin.waiting)
        return awaited or super()._requests_wait()

    def _no_turn(self) -> None:
        super()._no_turn()
        self._listener.refuses(self)

    def _begin_work(self) -> None:
        super()._begin_work()
        # A GOAWAY, say, frees nothing, but who waits for this connection need not wait any more.
        entry = self.entry
        if entry is not None and (self._changed or not (entry.is_retired or entry.is_usable())):
            self._changed = False
            self._listener.changed(self)

    def _suspect(self) -> None:
        super()._suspect()
        if self._timeouts.in_doubt and self._doubted is None:
            self._doubted = self.loop.call_later(DOUBT, self._check_doubt, context=self._context)

    def _probe_answered(self) -> None:
        super()._probe_answered()
        if self._doubted is not None and not self._timeouts.in_doubt:
            self._doubted.cancel()  # the next doubt starts its own timer
            self._doubted = None

    def _check_doubt(self) -> None:
        self._doubted = None
        if self._timeouts.in_doubt and self._life.phase < FLUSHING:
            self._listener.silent(self)

    def _after_loss(self) -> None:
        super()._after_loss()
        for timer in (self._leaving, self._doubted):
            if timer is not None:
                timer.cancel()
        self._leaving = None
        self._doubted = None
        if self.entry is not None:
            self._listener.lost(self)
            self.entry = None


class ClientConnection(PooledConnection):
    """The store's record of a client's connection."""

    def __init__(self, origin: Origin, client: PooledClient) -> None:
        super().__init__(origin, client.is_http2)
        self.client = client

    def is_open(self) -> bool:
        return self.client._is_open()

    def is_busy(self) -> bool:
        return bool(self.client._exchanges)

    def is_unused(self) -> bool:
        return self.client._last_local == 0

    def slots(self) -> int:
        return self.client.slots()

    def requires_http1(self) -> bool:
        return self.client.requires_http1()

    def why_closed(self) -> OSError:
        return closed_at_once(self.client._end_reason, self.client._goaway_code())
