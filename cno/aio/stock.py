"""The connections of a pool: who gets which, when more are made, when they end.

Knows origins, and who waits. Must never know what is sent, or what may be sent again.
"""

import asyncio
import contextvars
from collections import OrderedDict
from typing import Any, Final

from mypy_extensions import i64, mypyc_attr

from cno.aio.connect import Route
from cno.aio.errors import ConnectError, ConnectionLostError, StreamTimeoutError, fresh
from cno.aio.leaving import leave
from cno.aio.lifecycle import LOST
from cno.aio.member import Member, Origin, Owner
from cno.aio.output import log
from cno.aio.patience import NO_TURN, not_sent
from cno.aio.probe import let_transport_read
from cno.aio.unreachable import closed_at_once, connect_error, too_slow
from cno.aio.urls import Target
from cno.aio.waiters import wake
from cno.limits import Limits, bound
from cno.settings import SettingsDict

#: Seconds that an origin with HTTP/1.1 connections is not asked for more, after it refused one.
DIAL_PAUSE: Final = 0.2


#: How many origins are remembered whose servers require HTTP/1.1.
MAX_HTTP1_ONLY: Final = 1_000


class Dial:
    """A connection that is being made."""

    def __init__(self, origin: Origin, member: Member) -> None:
        self.origin = origin
        self.member = member
        self.http1_only = origin.http1_only  # it offers HTTP/1.1 alone
        self.timer: asyncio.TimerHandle | None = None
        self.expired = False


@mypyc_attr(allow_interpreted_subclasses=True)
class Stock(Owner):
    """What a pool has, and who waits for it."""

    def __init__(
        self,
        route: Route,
        force_http2: bool,
        max_connections: int | None,
        max_per_origin: int | None,
        settings: SettingsDict | None,
        limits: Limits,
    ) -> None:
        self._route = route
        self._force_http2 = force_http2
        self._max_live: i64 = bound(max_connections)
        self._max_per_origin: i64 = bound(max_per_origin)
        if self._max_live < 1 or self._max_per_origin < 1:
            raise ValueError("a pool needs room for a connection")
        self._settings = settings
        self._limits = limits
        self._loop: asyncio.AbstractEventLoop | None = None
        #: That of whoever made the pool: connections, which all requests share, are made in it.
        self._context = contextvars.copy_context()
        self._origins: dict[str, Origin] = {}
        self._members: dict[Member, None] = {}
        self._dials: dict[asyncio.Task[None], Dial] = {}
        self._live: i64 = 0  # connections that take requests, or may soon: dials counted
        self._idle: OrderedDict[Member, float] = OrderedDict()  # since when; the longest first
        self._hungry: OrderedDict[Origin, None] = OrderedDict()  # in need of more than is allowed
        #: Origins whose servers require HTTP/1.1; the first was used the longest ago.
        self._http1_only: OrderedDict[str, None] = OrderedDict()
        self._tickets: i64 = 0  # given to those that had to wait
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._closed: asyncio.Future[None] | None = None

    @property
    def connections(self) -> int:
        """How many connections there are, those included that take no more requests."""
        return len(self._members)

    def _bind(self) -> None:
        """Belong to the running event loop. Raises RuntimeError in any other one."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("the pool belongs to another event loop: each loop needs its own")

    async def wait_closed(self) -> None:
        """Wait until all connections are closed."""
        self._bind()
        while self._members or self._dials:
            if self._closed is None:
                self._closed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._closed)

    # -- who gets which ---------------------------------------------------------------------------

    async def _is_well(self, member: Member) -> bool:
        """Look at what has come on a connection that nobody uses; whether that was not its end.

        Until that is known, nobody else is given it.
        """
        member._reserved += 1
        member._looked_at = True
        looked = False
        try:
            await let_transport_read()
            looked = True
        finally:
            member._looked_at = False
            if not looked:
                member._reserved -= 1
                self.changed(member)
        if member.usable() and not member.has_news():
            self.changed(member)  # who came meanwhile may go on
            member._reserved -= 1
            return True
        member._reserved -= 1
        origin = member._origin
        self._drop(member)
        if member._last_local == 0 and origin.is_served():
            self._pause(origin)
        self._want(origin)
        return False

    async def _wait(self, origin: Origin, again: bool, choosy: bool) -> Member:
        """Wait in line for a connection that takes one more request, at its front if `again`.

        `choosy`: over HTTP/1.1, only one that has had no request will do.
        """
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._tickets += 1
        # `_pick` forgets an origin whose last connection it finds at its end.
        self._origins.setdefault(origin.target.origin, origin)
        origin.line[waiter] = self._tickets
        if again:
            origin.line.move_to_end(waiter, last=False)
        if choosy and origin.http2 is False:
            origin.choosy.add(waiter)
            if origin.idle and origin.live >= self._max_per_origin:
                self._drop(origin.idle[0])  # makes room
        self._want(origin)
        if origin.shared is not None:
            origin.shared._hurry()
        try:
            await waiter
        except asyncio.CancelledError:
            self._forsake(origin, waiter)
            raise
        finally:
            origin.choosy.discard(waiter)
        given = waiter.result()
        if isinstance(given, Member):
            given._reserved -= 1
            return given
        raise given

    def _forsake(self, origin: Origin, waiter: asyncio.Future[Any]) -> None:
        """Somebody waits no longer: what it was given is for others."""
        if not waiter.done() or waiter.cancelled():
            origin.line.pop(waiter, None)
            origin.choosy.discard(waiter)
            shared = origin.shared
            if shared is not None and not origin.line and shared.is_free():
                self.changed(shared)  # nobody waits for it any more: it is idle
            self._tidy(origin)
            return
        given = waiter.result()
        if isinstance(given, Member):
            given._reserved -= 1
            self.changed(given)

    def _pick(self, origin: Origin) -> Member | None:
        """A connection that takes a request now; none if others wait for that already."""
        if origin.takes_turns():
            return None
        member = origin.shared
        if member is not None:
            if member.usable():
                return member if member.room() > 0 else None
            self.changed(member)
        while origin.idle:
            member = origin.idle.pop()
            self._idle.pop(member, None)
            if member.usable():
                return member
            self.changed(member)
        return None

    # -- Owner -----------------------------------------------------------------------------------

    def changed(self, member: Member) -> None:
        origin = member._origin
        if not member.usable():
            self._give_up(member)
            if member.is_free():
                member.close()
            self._want(origin)
            return
        if not member._http2 and self._is_outranked(member):
            self._drop(member)
            self._feed()
            self._want(origin)
            return
        while origin.line and member.room() > 0 and self._grant(origin, member):
            pass
        if not member.is_free():
            return
        if origin.choosy and not member._http2 and origin.live >= self._max_per_origin:
            self._drop(member)  # makes room for the one that is wanted
            self._want(origin)
            return
        if member._http2:
            self._idle.pop(member, None)
        elif member in self._idle:
            return
        else:
            origin.idle.append(member)
        loop = member.loop
        self._idle[member] = loop.time()
        if self._timer is None:
            self._sweep()
        self._feed()

    def dead(self, member: Member) -> None:
        log.debug("%s does not answer a PING", member._origin.target.authority)
        self._retire(member)
        if member.is_free():
            member.close()
        self._want(member._origin)

    def lost(self, member: Member) -> None:
        self._give_up(member)
        self._members.pop(member, None)
        self._want(member._origin)
        self._check_closed()

    def stuck(self, member: Member) -> None:
        origin = member._origin
        self._retire(member)
        self._fail(origin, not_sent(NO_TURN))
        if member.is_free():
            member.close()
        self._want(origin)

    # -- connections -----------------------------------------------------------------------------

    def _origin_of(self, target: Target) -> Origin:
        origin = self._origins.get(target.origin)
        if origin is None:
            self._route.check(target)
            origin = Origin(target)
            self._origins[target.origin] = origin
            if target.scheme == "http":
                origin.http2 = self._force_http2 or target.force_http2
            elif target.origin in self._http1_only:
                self._http1_only.move_to_end(target.origin)
                origin.http1_only = True
                origin.http2 = False
        return origin

    def _use_http1(self, origin: Origin) -> bool:
        """Use HTTP/1.1 alone for this origin from now on. Return False if that is not possible."""
        if origin.http1_only:
            return True
        target = origin.target
        if target.scheme != "https" or self._force_http2 or target.force_http2:
            return False
        if not self._route.can_require_http1():
            return False
        origin.http1_only = True
        origin.http2 = False
        self._http1_only[target.origin] = None
        if len(self._http1_only) > MAX_HTTP1_ONLY:
            self._http1_only.popitem(last=False)
        shared = origin.shared
        if shared is not None:
            self._retire(shared)
            if shared.is_free():
                shared.close()
        return True

    def _tidy(self, origin: Origin) -> None:
        """Forget an origin that has nothing and needs nothing."""
        if not origin.line:
            self._hungry.pop(origin, None)
            name = origin.target.origin
            if origin.live == 0:
                origin.unpause()
                if self._origins.get(name) is origin:
                    del self._origins[name]

    def _want(self, origin: Origin) -> None:
        """Make the connections that those in line need."""
        while not self._closing and self._needs(origin):
            if self._live >= self._max_live and not self._evict():
                self._hungry[origin] = None
                return
            self._dial(origin)
        self._hungry.pop(origin, None)
        self._tidy(origin)
        self._feed()

    def _needs(self, origin: Origin) -> bool:
        waiting: i64 = len(origin.line)
        if waiting == 0:
            return False
        if origin.http2 is False:
            if origin.pause is not None and origin.is_served():
                return False
            return waiting > origin.dialing and origin.live < self._max_per_origin
        # One is enough for all; if it turns out not to be, more follow.
        return origin.shared is None and origin.dialing == 0

    def _feed(self) -> None:
        """There may be room for another connection: make it for who needs it the longest."""
        while self._hungry and (self._live < self._max_live or self._idle):
            origin, _ = self._hungry.popitem(last=False)
            if not self._needs(origin):
                continue
            if self._live >= self._max_live and not self._evict():
                self._hungry[origin] = None
                self._hungry.move_to_end(origin, last=False)
                return
            self._dial(origin)
            if self._needs(origin):
                self._hungry[origin] = None

    def _is_outranked(self, member: Member) -> bool:
        """Whether somebody who waits elsewhere came before all who wait for this connection."""
        if not self._hungry or not member.is_free() or self._live < self._max_live:
            return False
        line = member._origin.line
        if not line:
            return False  # it will be idle, and can be taken
        return first_of(next(iter(self._hungry)).line) < first_of(line)

    def _evict(self) -> bool:
        """Make room: close what has been idle the longest. Whether there was any."""
        while self._idle:
            member = next(iter(self._idle))
            if member.is_free():
                self._drop(member)
                return True
            self._idle.pop(member, None)
        return False

    def _drop(self, member: Member) -> None:
        """Close a connection that nobody uses."""
        self._retire(member)
        member.close()
        self._tidy(member._origin)

    def _give_up(self, member: Member) -> None:
        """A connection takes no more requests. If it never took one, those who wait must know:
        another would probably do no better."""
        if member.requires_http1() and self._use_http1(member._origin):
            self._retire(member)
        if not member._retired and member._last_local == 0 and member._reserved == 0:
            self._retire(member)
            self._fail(member._origin, closed_at_once(member._end_reason, member._goaway_code()))
        self._retire(member)

    def _retire(self, member: Member) -> None:
        """Give this connection no more requests."""
        if member._retired:
            return
        member._retired = True
        origin = member._origin
        origin.live -= 1
        self._live -= 1
        if origin.shared is member:
            origin.shared = None
        if self._idle.pop(member, None) is not None and not member._http2:
            if member in origin.idle:
                origin.idle.remove(member)

    def _grant(self, origin: Origin, member: Member) -> bool:
        """Promise this connection to the first in line that it will do for; False: to none."""
        waiter = origin.next_for(member)
        if waiter is None:
            return False
        if not waiter.done():
            member._reserved += 1
            waiter.set_result(member)
        return True

    def _content(self, origin: Origin) -> None:
        """There will be no new connection for now: give those who want one what there is."""
        origin.choosy.clear()
        for member in list(origin.idle):
            if origin.line and member in self._idle:
                origin.idle.remove(member)
                del self._idle[member]
                self.changed(member)

    def _fail(self, origin: Origin, cause: Exception) -> None:
        """No connection could be made: tell those that it would have been for, unless there are
        others to wait for."""
        if origin.is_served():
            self._pause(origin)
            self._content(origin)
            return
        only_first = origin.http2 is False
        origin.choosy.clear()
        while origin.line:
            waiter, _ = origin.line.popitem(last=False)
            if waiter.done():
                continue
            waiter.set_result(error_for(origin.target, cause))
            if only_first:
                return

    def _pause(self, origin: Origin) -> None:
        """Try to make no more connections for a while."""
        if origin.pause is None and not self._closing:
            loop = asyncio.get_running_loop()
            origin.pause = loop.call_later(
                DIAL_PAUSE, self._try_again, origin, context=self._context
            )

    def _try_again(self, origin: Origin) -> None:
        origin.pause = None
        self._want(origin)

    # -- making them -----------------------------------------------------------------------------

    def _dial(self, origin: Origin) -> None:
        # Not in the context of the request that happens to be first.
        self._context.copy().run(self._begin_dial, origin)

    def _begin_dial(self, origin: Origin) -> None:
        loop = asyncio.get_running_loop()
        force = self._force_http2 or origin.target.force_http2
        member = Member(loop, self, origin, force, self._settings, self._limits)
        dial = Dial(origin, member)
        origin.live += 1
        origin.dialing += 1
        self._live += 1
        connecting = self._route.connect(loop, origin.target, member, dial.http1_only)
        task = loop.create_task(connecting)
        self._dials[task] = dial
        if self._limits.handshake_timeout is not None:
            wait = self._limits.handshake_timeout
            dial.timer = loop.call_later(wait, self._expire, task, context=self._context)
        task.add_done_callback(self._dialed)

    def _expire(self, task: "asyncio.Task[None]") -> None:
        """A connection takes too long to be made."""
        dial = self._dials.get(task)
        if dial is not None:
            dial.timer = None
            dial.expired = True
            task.cancel()

    def _dialed(self, task: "asyncio.Task[None]") -> None:
        dial = self._dials.pop(task)
        if dial.timer is not None:
            dial.timer.cancel()
        origin, member = dial.origin, dial.member
        origin.dialing -= 1
        problem: BaseException | None = None
        if dial.expired:
            problem = too_slow(self._limits.handshake_timeout or 0.0)
        elif task.cancelled():
            problem = asyncio.CancelledError()
        else:
            problem = task.exception()
        if problem is None and member._phase >= LOST:
            problem = closed_at_once(member._end_reason, member._goaway_code())
        if problem is None:
            self._join(origin, member, dial.http1_only)
        else:
            member.abort()
            self._retire(member)
            if isinstance(problem, Exception):
                self._fail(origin, problem)
            self._want(origin)
        self._check_closed()

    def _join(self, origin: Origin, member: Member, http1_only: bool) -> None:
        """A connection has been made. `http1_only`: it has offered nothing else."""
        member._joined = True
        self._members[member] = None
        if member._http2 and origin.http1_only and not self._closing:
            self._drop(member)  # begun before that was known; or the server does not care
            if http1_only:
                self._fail(origin, ConnectError("the server requires HTTP/1.1 and chose HTTP/2"))
            self._want(origin)
            return
        origin.http2 = member._http2
        if self._closing or (member._http2 and origin.shared is not None):
            self._drop(member)  # one is enough
            self._feed()
            return
        if member._http2:
            origin.shared = member
        self.changed(member)
        if origin.line:
            member._hurry()
        self._want(origin)

    # -- the end ---------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Close what has been idle for too long; come again when the next one is due."""
        self._timer = None
        patience = self._limits.keepalive_timeout
        if patience is None or self._closing:
            return
        while self._idle:
            member = next(iter(self._idle))
            due = self._idle[member] + patience
            if not member.is_free() or (member._http2 and member._origin.line):
                self._idle.pop(member, None)  # in use, or requests wait for it to allow them
            elif member.loop.time() >= due:
                self._drop(member)
            else:
                self._timer = member.loop.call_at(due, self._sweep, context=self._context)
                break
        self._feed()

    def _close(self, at_once: bool) -> None:
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for origin in self._origins.values():
            origin.unpause()
            while origin.line:
                waiter, _ = origin.line.popitem(last=False)
                if not waiter.done():
                    waiter.set_result(ConnectionLostError("the pool was closed", retryable=True))
        for task in list(self._dials):
            task.cancel()
        for member in list(self._members):
            self._retire(member)
            if at_once or not member._exchanges:
                member.close()
            else:
                leave(member)
        self._hungry.clear()
        self._origins.clear()

    def _check_closed(self) -> None:
        waiter = self._closed
        if waiter is not None and not self._members and not self._dials:
            self._closed = None
            wake(waiter)


def first_of(line: OrderedDict[asyncio.Future[Any], int]) -> int:
    """When the first in line came."""
    for ticket in line.values():
        return ticket
    return 1 << 62


def error_for(target: Target, cause: Exception) -> Exception:
    """Return the error of one request that waited for a connection."""
    if isinstance(cause, StreamTimeoutError):
        return fresh(cause)  # there is one, whose server allows no requests
    if isinstance(cause, OSError):
        return connect_error(target, cause)
    return cause  # a mistake in the program, or in the environment's variables
