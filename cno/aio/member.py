"""A connection that belongs to a pool, and the origin that it leads to.

Knows whether the connection takes another request now, and tells its owner whenever that may have
changed. Must never know who waits for it, or why.
"""

import asyncio
from collections import OrderedDict
from typing import Any, Final

from mypy_extensions import i64, mypyc_attr

from cno.aio.client import MAX_BLIND, Client
from cno.aio.lifecycle import FLUSHING
from cno.aio.probe import has_input, poller_of, socket_number
from cno.aio.urls import Target
from cno.const import CNO_RST_HTTP_1_1_REQUIRED
from cno.limits import Limits
from cno.settings import SettingsDict

#: Seconds in which a PING must be answered by a server that has left a request unanswered: then
#: other requests go to another connection.
DOUBT: Final = 1.0


@mypyc_attr(allow_interpreted_subclasses=True)
class Owner:
    """Who wants to know what becomes of its members."""

    def changed(self, member: "Member") -> None:
        """It may take more requests than before, or none any more."""

    def lost(self, member: "Member") -> None:
        """It is gone."""

    def dead(self, member: "Member") -> None:
        """It has not answered a PING, and probably never will."""

    def stuck(self, member: "Member") -> None:
        """Its server has allowed no requests for too long."""


class Origin:
    """Scheme, host and port: its connections, and who waits for one of them."""

    def __init__(self, target: Target) -> None:
        self.target = target
        #: Whether it speaks HTTP/2, as far as is known: what it spoke last. Clear text is HTTP/1.1
        #: unless the URL says otherwise.
        self.http2: bool | None = None
        self.http1_only = False  # the server has said so
        self.shared: Member | None = None  # HTTP/2: the connection that takes requests
        self.idle: list[Member] = []  # HTTP/1.1: those without a request, used last at the end
        self.live: i64 = 0  # connections that take requests, or may soon: dials counted
        self.dialing: i64 = 0
        #: A connection could not be made, while others were there: until then, these have to do.
        self.pause: asyncio.TimerHandle | None = None
        #: Who waits, in order: what it gets, a Member or an Exception; and when it came.
        self.line: OrderedDict[asyncio.Future[Any], int] = OrderedDict()
        #: Those of them that want a connection that has had no request (HTTP/1.1).
        self.choosy: set[asyncio.Future[Any]] = set()

    def is_served(self) -> bool:
        """HTTP/1.1: whether those in line will be served in time, if no connection is added."""
        return self.http2 is False and self.live > self.dialing

    def takes_turns(self) -> bool:
        """Whether somebody waits who would take any connection."""
        return len(self.line) > len(self.choosy)

    def next_for(self, member: "Member") -> "asyncio.Future[Any] | None":
        """Take the first out of line that this connection will do for."""
        for waiter in self.line:
            if member._last_local == 0 or waiter not in self.choosy:
                del self.line[waiter]
                self.choosy.discard(waiter)
                return waiter
        return None

    def unpause(self) -> None:
        if self.pause is not None:
            self.pause.cancel()
            self.pause = None


class Member(Client):
    """A client's connection in a pool."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        owner: Owner,
        origin: Origin,
        force_http2: bool,
        settings: SettingsDict | None,
        limits: Limits,
    ) -> None:
        target = origin.target
        super().__init__(
            loop,
            target.authority,
            target.scheme,
            force_http2=force_http2,
            settings=settings,
            limits=limits,
        )
        self._owner = owner
        self._origin = origin
        self._joined = False  # the owner knows it
        self._retired = False  # the owner gives it no more requests
        self._changed = False  # by the input that is being read
        self._reserved: i64 = 0  # requests that it is promised to
        self._looked_at = False  # whether it is still there
        self._poller: Any = None
        self._leaving: asyncio.TimerHandle | None = None  # to look for bodies that nobody reads
        self._doubted: asyncio.TimerHandle | None = None  # for the answer to a PING, and no more

    def usable(self) -> bool:
        """Whether it takes requests at all, now or later."""
        return not self._retired and self._is_open()

    def room(self) -> i64:
        """How many requests it could take at once, beside those that it is promised to."""
        if self._full or self._looked_at or self._suspected:
            return 0
        if not self._http2:
            return 0 if self._exchanges or self._reserved != 0 else 1
        most: i64 = self._remote._max_concurrent_streams
        if most > MAX_BLIND and self._is_greeting():
            most = MAX_BLIND
        return most - self._count_local - self._reserved

    def requires_http1(self) -> bool:
        """Return whether the server has ended the connection because it requires HTTP/1.1."""
        return self._goaway_code() == CNO_RST_HTTP_1_1_REQUIRED

    def passed(self, stream: i64) -> bool:
        """Whether the server has said good-bye after other requests, and before this one."""
        return self._http2 and 0 < self._h2.goaway_received < stream

    def is_free(self) -> bool:
        """Whether nobody uses it, or is about to."""
        return not self._exchanges and self._reserved == 0

    def has_news(self) -> bool:
        """Whether something has come that nobody has looked at yet: its end, perhaps."""
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
        if self._busy:
            self._changed = True
        elif self._joined:
            self._owner.changed(self)

    def _requests_wait(self) -> bool:
        origin = self._origin
        return (origin.shared is self and bool(origin.line)) or super()._requests_wait()

    def _no_turn(self) -> None:
        super()._no_turn()
        self._owner.stuck(self)

    def _begin_work(self) -> None:
        super()._begin_work()
        # A GOAWAY, say, frees nothing, but who waits for this connection need not wait any more.
        if self._joined and (self._changed or not (self._retired or self.usable())):
            self._changed = False
            self._owner.changed(self)

    def _suspect(self) -> None:
        super()._suspect()
        if self._suspected and self._doubted is None:
            self._doubted = self.loop.call_later(DOUBT, self._check_doubt, context=self._context)

    def _measured(self) -> None:
        super()._measured()
        if self._doubted is not None and not self._suspected:
            self._doubted.cancel()  # another doubt has a second of its own
            self._doubted = None

    def _check_doubt(self) -> None:
        self._doubted = None
        if self._suspected and self._joined and self._phase < FLUSHING:
            self._owner.dead(self)

    def _after_loss(self) -> None:
        super()._after_loss()
        for timer in (self._leaving, self._doubted):
            if timer is not None:
                timer.cancel()
        self._leaving = None
        self._doubted = None
        if self._joined:
            self._owner.lost(self)
