"""Many requests, to anywhere, over as few connections as will do.

Knows origins and their connections, who waits, and what may be sent again. Must never know how a
request is written, or how a server is reached.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import replace
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final

from mypy_extensions import i64, mypyc_attr

from cno.aio.client import CLIENT_LIMITS, Order, completed
from cno.aio.connect import Route
from cno.aio.errors import ConnectError, ConnectionLostError, ProxyError, StreamError
from cno.aio.member import Member, Origin, Owner
from cno.aio.messages import Body, Response, dispose, listed
from cno.aio.output import Headers, log
from cno.aio.urls import Target, target_of
from cno.errors import UsageError
from cno.limits import Limits, bound

#: Seconds before a request is sent again for the second time; twice as long before each other.
FIRST_PAUSE: Final = 0.02

#: The server accepts, and thinks better of it.
CLOSED_AT_ONCE: Final = ConnectionAbortedError("the connection was closed before its first request")


class Replay:
    """A body that comes piece by piece, kept from its end while it may have to be sent again.

    Whoever sends it leaves it when that fails; unless it has begun, it can be sent once more.
    """

    def __init__(self, source: AsyncIterable[bytes]) -> None:
        self._source = source
        self._pieces: Any = None
        self.begun = False
        self.kept = True  # the request has had no answer yet
        self._left = False

    def __aiter__(self) -> "Replay":
        return self

    def __anext__(self) -> Any:
        if self._pieces is None:
            self.begun = True
            self._pieces = self._source.__aiter__()
        return self._pieces.__anext__()

    def again(self) -> bool:
        """Whether it can be sent once more."""
        self._left = False
        return not self.begun

    async def aclose(self) -> None:
        """No more of it is wanted by whoever sent it."""
        self._left = True
        if self.begun or not self.kept:
            await dispose(self._source)

    async def release(self, answered: bool) -> None:
        """There is an answer, or there will never be one: it is not going to be sent again."""
        self.kept = False
        if self._left or not answered:
            await dispose(self._source)


class Dial:
    """A connection that is being made."""

    def __init__(self, origin: Origin, member: Member) -> None:
        self.origin = origin
        self.member = member
        self.timer: asyncio.TimerHandle | None = None
        self.expired = False


@mypyc_attr(allow_interpreted_subclasses=True)
class Pool(Owner):
    """Connections to any number of servers, kept for the requests to come.

    HTTP/2: one connection for each origin (scheme, host and port), which all requests share; those
    beyond the server's limit wait for their turn. When the server announces its end by GOAWAY, what
    is under way goes on, and new requests go to a new connection. HTTP/1.1: up to `max_per_origin`
    connections to each origin, each for one request at a time. `max_connections` bounds all that
    take requests together: whoever needs one more takes the place of that idle the longest, or
    waits; first come, first served. None: no bound.

    A request that has certainly not been processed is sent again, up to `retries` times, whatever
    its method: its stream was refused, or is beyond the last that a GOAWAY names (RFC 9113 8.7), or
    the connection was at its end before it was sent. Nothing else is: errors have `retryable`, and
    where that is False, the request may have been processed. A body that comes piece by piece can
    only be sent again while none of it has been asked for.

    `ssl_ctx`, `force_http2`, `proxy`, `unix`, `settings` and `limits` are as for `cno.connect`, and
    hold for all connections. Of the limits, `keepalive_timeout` closes what has been idle for so
    long, `ping_interval` keeps the others alive, `handshake_timeout` bounds the making of a
    connection, `shutdown_timeout` the end of all. `pushes`: take what servers push.
    """

    def __init__(
        self,
        ssl_ctx: SSLContext | None = None,
        *,
        force_http2: bool = False,
        proxy: str | None = None,
        unix: str | None = None,
        max_connections: int | None = 256,
        max_per_origin: int | None = 64,
        retries: int = 5,
        pushes: bool = False,
        settings: Mapping[str, int | None] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._route = Route(ssl_ctx, None, proxy, unix)
        self._force_http2 = force_http2
        self._max_live: i64 = bound(max_connections)
        self._max_per_origin: i64 = bound(max_per_origin)
        if self._max_live < 1 or self._max_per_origin < 1:
            raise ValueError("a pool needs room for a connection")
        self._retries: i64 = retries
        self._settings = settings
        chosen = CLIENT_LIMITS if limits is None else limits
        self._limits = chosen if pushes else replace(chosen, max_pushes=0)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._origins: dict[str, Origin] = {}
        self._members: dict[Member, None] = {}
        self._dials: dict[asyncio.Task[None], Dial] = {}
        self._live: i64 = 0  # connections that take requests, or may soon: dials counted
        self._idle: OrderedDict[Member, float] = OrderedDict()  # since when; the longest first
        self._hungry: OrderedDict[Origin, None] = OrderedDict()  # in need of more than is allowed
        self._tickets: i64 = 0  # given to those that had to wait
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._closed: asyncio.Future[None] | None = None

    @property
    def connections(self) -> int:
        """How many connections there are, those included that take no more requests."""
        return len(self._members)

    async def request(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        data: Body = b"",
        *,
        trailers: Headers | None = None,
    ) -> Response:
        """Send a request; returns its response as soon as that has begun to come.

        As `Client.request`, with a URL in place of the path. Read the payload to its end, or use
        `async with`: until then, the stream, in HTTP/1.1 the connection, is taken. Cancelling
        resets the stream; to wait no longer than so long, use `asyncio.timeout`.

        Raises ConnectError, StreamError and ConnectionLostError, all of which have `retryable`;
        ValueError for the URL, UsageError for what must not be sent, and when the pool is closed;
        and whatever iterating over `data` raises.
        """
        target = target_of(url)
        fields = completed(listed(headers), target.authority, target.credentials)
        order = Order(method, target.path, fields, data, trailers)
        if order.source is None:
            return await self._carry(target, order, None)
        return await self._carry_stream(target, order, order.source)

    def close(self) -> None:
        """Take no more requests, and close each connection once those it has are done.

        What is not done after `Limits.shutdown_timeout` is cut off.
        """
        self._close(False)

    async def wait_closed(self) -> None:
        """Wait until all connections are closed."""
        while self._members or self._dials:
            if self._closed is None:
                self._closed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._closed)

    async def aclose(self) -> None:
        """Close, and wait until that is done."""
        self._close(False)
        await self.wait_closed()

    async def __aenter__(self) -> "Pool":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close; after an exception without waiting for the requests that are under way."""
        self._close(error is not None)
        await self.wait_closed()

    # -- requests --------------------------------------------------------------------------------

    async def _carry_stream(
        self, target: Target, order: Order, source: AsyncIterable[bytes]
    ) -> Response:
        """As `_carry`, with a body that comes piece by piece."""
        replay = Replay(source)
        order.source = replay
        response: Response | None = None
        failure: BaseException | None = None
        try:
            response = await self._carry(target, order, replay)
        except BaseException as error:
            failure = error
        # (Not in a `finally`: see `messages.write_body`.)
        await replay.release(response is not None)
        if response is None:
            try:
                raise failure or RuntimeError("neither a response nor an error")
            finally:
                failure = None  # else it would hold, by its traceback, what holds it
        return response

    async def _carry(self, target: Target, order: Order, replay: Replay | None) -> Response:
        """Send a request until somebody has processed it, or may have."""
        attempt: i64 = 0
        while True:
            if self._closing:
                raise UsageError("the pool is closed")
            origin = self._origin_of(target)
            member = self._pick(origin)
            if member is None:
                member = await self._wait(origin)
            if member.is_free() and member.has_news() and not await self._is_well(member):
                if member._last_local == 0:
                    raise connect_error(target, CLOSED_AT_ONCE)
                continue
            response: Response | None = None
            try:
                response = member._try_open(order)
                if response is not None:
                    member._send(response, order)
                    return await member._answer(response)
            except (StreamError, ConnectionLostError) as error:
                if not error.retryable or attempt >= self._retries:
                    raise
                if replay is not None and not replay.again():
                    raise
                log.debug("%s: sending %s %s again", error, order.method, target.path)
            finally:
                if response is None:
                    self.changed(member)
            attempt += 1
            if attempt > 1:
                await asyncio.sleep(FIRST_PAUSE * float(1 << min(attempt - 2, 6)))

    async def _is_well(self, member: Member) -> bool:
        """Look at what has come on a connection that nobody uses; whether that was not its end."""
        member._reserved += 1
        looked = False
        try:
            # Once for the loop to find out, once for the transport to read.
            for _ in range(3):
                await asyncio.sleep(0)
            looked = True
        finally:
            member._reserved -= 1
            if not looked:
                self.changed(member)
        if member.usable() and not member.has_news():
            return True
        self._drop(member)
        self._want(member._origin)
        return False

    async def _wait(self, origin: Origin) -> Member:
        """Wait in line for a connection that takes one more request."""
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._tickets += 1
        origin.line[waiter] = self._tickets
        self._want(origin)
        try:
            await waiter
        except asyncio.CancelledError:
            self._forsake(origin, waiter)
            raise
        given = waiter.result()
        if isinstance(given, Member):
            given._reserved -= 1
            return given
        raise given

    def _forsake(self, origin: Origin, waiter: asyncio.Future[Any]) -> None:
        """Somebody waits no longer: what it was given is for others."""
        if not waiter.done() or waiter.cancelled():
            origin.line.pop(waiter, None)
            self._tidy(origin)
            return
        given = waiter.result()
        if isinstance(given, Member):
            given._reserved -= 1
            self.changed(given)

    def _pick(self, origin: Origin) -> Member | None:
        """A connection that takes a request now; none if others wait for that already."""
        if origin.line:
            return None
        member = origin.shared
        if member is not None:
            return member if member.usable() and member.room() > 0 else None
        while origin.idle:
            member = origin.idle.pop()
            self._idle.pop(member, None)
            if member.usable():
                return member
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
        while origin.line and member.room() > 0:
            self._grant(origin, member)
        if not member.is_free():
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

    def lost(self, member: Member) -> None:
        self._give_up(member)
        self._members.pop(member, None)
        self._want(member._origin)
        self._check_closed()

    # -- connections -----------------------------------------------------------------------------

    def _origin_of(self, target: Target) -> Origin:
        origin = self._origins.get(target.origin)
        if origin is None:
            origin = Origin(target)
            self._origins[target.origin] = origin
            if target.scheme == "http":
                origin.http2 = self._force_http2 or target.force_http2
        return origin

    def _tidy(self, origin: Origin) -> None:
        """Forget an origin that has nothing and needs nothing."""
        if not origin.line:
            self._hungry.pop(origin, None)
            name = origin.target.origin
            if origin.live == 0 and self._origins.get(name) is origin:
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
        if not member._retired and member._last_local == 0 and member._reserved == 0:
            self._retire(member)
            self._fail(member._origin, CLOSED_AT_ONCE)
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

    def _grant(self, origin: Origin, member: Member) -> None:
        """Promise this connection to the first in line."""
        waiter, _ = origin.line.popitem(last=False)
        if not waiter.done():
            member._reserved += 1
            waiter.set_result(member)

    def _fail(self, origin: Origin, cause: Exception) -> None:
        """No connection could be made: tell those that it would have been for."""
        only_first = origin.http2 is False
        while origin.line:
            waiter, _ = origin.line.popitem(last=False)
            if waiter.done():
                continue
            waiter.set_result(connect_error(origin.target, cause))
            if only_first:
                return

    # -- making them -----------------------------------------------------------------------------

    def _dial(self, origin: Origin) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        force = self._force_http2 or origin.target.force_http2
        member = Member(loop, self, origin, force, self._settings, self._limits)
        dial = Dial(origin, member)
        origin.live += 1
        origin.dialing += 1
        self._live += 1
        task = loop.create_task(self._route.connect(loop, origin.target, member))
        self._dials[task] = dial
        if self._limits.handshake_timeout is not None:
            dial.timer = loop.call_later(self._limits.handshake_timeout, self._expire, task)
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
            problem = TimeoutError("it took too long")
        elif task.cancelled():
            problem = asyncio.CancelledError()
        else:
            problem = task.exception()
        if problem is None and member._gone:
            problem = CLOSED_AT_ONCE
        if problem is None:
            self._join(origin, member)
        else:
            member.abort()
            self._retire(member)
            if isinstance(problem, Exception):
                self._fail(origin, problem)
            self._want(origin)
        self._check_closed()

    def _join(self, origin: Origin, member: Member) -> None:
        """A connection has been made."""
        member._joined = True
        self._members[member] = None
        origin.http2 = member._http2
        if self._closing or (member._http2 and origin.shared is not None):
            self._drop(member)  # one is enough
            self._feed()
            return
        if member._http2:
            origin.shared = member
        self.changed(member)
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
            if not member.is_free():
                self._idle.pop(member, None)
            elif member.loop.time() >= due:
                self._drop(member)
            else:
                self._timer = member.loop.call_at(due, self._sweep)
                break
        self._feed()

    def _close(self, at_once: bool) -> None:
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for origin in self._origins.values():
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
            elif not member._closing and not member._draining:
                member.shutdown()
        self._hungry.clear()
        self._origins.clear()

    def _check_closed(self) -> None:
        waiter = self._closed
        if waiter is not None and not self._members and not self._dials:
            self._closed = None
            if not waiter.done():
                waiter.set_result(None)


def first_of(line: OrderedDict[asyncio.Future[Any], int]) -> int:
    """When the first in line came."""
    for ticket in line.values():
        return ticket
    return 1 << 62


def connect_error(target: Target, cause: Exception) -> ConnectError:
    """What is raised when no connection could be made, for one of those who wait."""
    text = f"cannot connect to {target.authority}: {cause}"
    error = (
        ProxyError(text, code=cause.code) if isinstance(cause, ProxyError) else ConnectError(text)
    )
    error.__cause__ = cause.with_traceback(None)  # which would hold all that it went through
    return error
