"""The connections that a pool is making, each by a task with a time limit.

Knows how a server is reached. Must never know which requests wait, or what may be sent again.
"""

import asyncio
import contextvars
from typing import Any, cast

from cno.aio.client.connect import Route
from cno.aio.client.connect_errors import connect_timeout
from cno.aio.client.connection import Client
from cno.aio.client.pooled import PoolListener
from cno.aio.client.state import why_unused
from cno.aio.client.traced import TracedClient
from cno.aio.client.urls import Target
from cno.aio.connection.lifecycle import LOST
from cno.limits import Limits
from cno.pool.connection import Dial, Origin
from cno.settings import SettingsDict
from cno.trace.hook import Tracer


class Attempt:
    """A connection that is being made."""

    def __init__(self, dial: Dial, client: Client, listener: PoolListener, now: float) -> None:
        self.dial = dial
        self.client = client
        self.listener = listener
        self.begun_at = now  # by the loop's clock
        self.timer: asyncio.TimerHandle | None = None
        self.expired = False


class Dialer:
    """Makes the connections of a pool, and has those that are not made yet."""

    def __init__(
        self,
        route: Route,
        force_http2: bool,
        settings: SettingsDict | None,
        limits: Limits,
        tracer: Tracer | None,
    ) -> None:
        self.route = route
        self.force_http2 = force_http2
        self._settings = settings
        self._limits = limits
        self._tracer = tracer
        #: That of whoever made the pool: connections, which all requests share, are made in it.
        self.context = contextvars.copy_context()
        self._attempts: dict[asyncio.Task[None], Attempt] = {}

    def begin(self, dial: Dial, listener: PoolListener) -> None:
        """Begin to make a connection, not in the context of the request that happens to be
        first."""
        self.context.copy().run(self._begin, dial, listener)

    def begun_at(self, origin: Origin, default: float) -> float:
        """Return when the last connection to an origin was begun; `default` if none is made."""
        found = [each.begun_at for each in self._attempts.values() if each.dial.origin is origin]
        return max(found, default=default)

    def cancel_attempts(self, origin: Origin | None = None) -> None:
        """Stop making connections to an origin, or all."""
        for task, attempt in list(self._attempts.items()):
            if origin is None or attempt.dial.origin is origin:
                task.cancel()

    def _begin(self, dial: Dial, listener: PoolListener) -> None:
        loop = asyncio.get_running_loop()
        target = cast(Target, dial.origin.peer)
        client = self._new_client(loop, target)
        attempt = Attempt(dial, client, listener, loop.time())
        task = loop.create_task(self.route.connect(loop, target, client, dial.http1_only))
        self._attempts[task] = attempt
        wait = self._limits.handshake_timeout
        if wait is not None:
            attempt.timer = loop.call_later(wait, self._expire, task, context=self.context)
        task.add_done_callback(self._finished)

    def _new_client(self, loop: asyncio.AbstractEventLoop, target: Target) -> Client:
        force_http2 = self.force_http2 or target.force_http2
        if self._tracer is not None:
            # Apart: compiled code calls `Client` directly, but a class of type Any slowly.
            kind: Any = TracedClient
            traced = kind(
                loop,
                target.authority,
                target.scheme,
                force_http2=force_http2,
                settings=self._settings,
                limits=self._limits,
            )
            traced.trace_by(self._tracer)
            return cast(Client, traced)
        return Client(
            loop,
            target.authority,
            target.scheme,
            force_http2=force_http2,
            settings=self._settings,
            limits=self._limits,
        )

    def _expire(self, task: "asyncio.Task[None]") -> None:
        """Give up an attempt that takes too long."""
        attempt = self._attempts[task]
        attempt.timer = None
        attempt.expired = True
        task.cancel()

    def _finished(self, task: "asyncio.Task[None]") -> None:
        """Tell the listener: a connection has been made, or not."""
        attempt = self._attempts.pop(task)
        if attempt.timer is not None:
            attempt.timer.cancel()
        client = attempt.client
        problem: BaseException | None = None
        if attempt.expired:
            problem = connect_timeout(self._limits.handshake_timeout or 0.0)
        elif task.cancelled():
            problem = asyncio.CancelledError()
        else:
            problem = task.exception()
        if problem is None and client._life.phase >= LOST:
            problem = why_unused(client)
        if problem is None:
            attempt.listener.dialed(attempt.dial, client)
        else:
            client.abort()
            attempt.listener.dial_failed(attempt.dial, problem)
