"""Pings of a WebSocket: those of the application, and automatic ones that detect a dead peer.

Knows payloads and timers. Must never know frames.
"""

import asyncio
import contextvars
from collections.abc import Callable

from mypy_extensions import i64

from cno.websocket.options import Options


class Pings:
    """Sends a ping each `ping_interval`, and calls `on_timeout` if one is not answered in time."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context,
        options: Options,
        send: Callable[[bytes], None],
        on_timeout: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._context = context
        self._options = options
        self._send: Callable[[bytes], None] | None = send
        self._on_timeout: Callable[[], None] | None = on_timeout
        self._number: i64 = 0
        self._awaited = b""  # the payload of the last automatic ping
        self._waiting: dict[bytes, tuple[asyncio.Future[float], float]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._arm()

    async def ping(self) -> float:
        """Send a ping, and wait for its answer; the seconds that took."""
        waiter: asyncio.Future[float] = self._loop.create_future()
        payload = self._next()
        self._waiting[payload] = (waiter, self._loop.time())
        try:
            if self._send is not None:
                self._send(payload)
            return await waiter
        finally:
            self._waiting.pop(payload, None)

    def answered(self, payload: bytes) -> None:
        """Take the payload of a pong. (Some answer nothing, and others send some unasked.)"""
        found = self._waiting.get(payload)
        if found is not None and not found[0].done():
            found[0].set_result(self._loop.time() - found[1])
        if payload == self._awaited and self._send is not None:
            self._awaited = b""
            self._cancel_timer()
            self._arm()

    def stop(self, error: Exception | None) -> None:
        """Send no more pings; tasks that wait for an answer get the error."""
        self._send = None
        self._on_timeout = None
        self._cancel_timer()
        if error is not None:
            for waiter, _ in self._waiting.values():
                if not waiter.done():
                    waiter.set_exception(error)

    def retry(self) -> None:
        """Wait for another `ping_interval`: the answer may have come without having been read."""
        if self._send is not None:
            self._arm()

    def _next(self) -> bytes:
        self._number += 1
        return b"%x" % self._number

    def _arm(self) -> None:
        interval = self._options.ping_interval
        if interval is not None:
            self._timer = self._loop.call_later(interval, self._due, context=self._context)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        if self._send is None:
            return
        self._awaited = self._next()
        self._send(self._awaited)
        wait = self._options.ping_timeout
        if wait is None:
            self._arm()
        elif self._send is not None:
            self._timer = self._loop.call_later(wait, self._missed, context=self._context)

    def _missed(self) -> None:
        self._timer = None
        if self._on_timeout is not None:
            self._on_timeout()
