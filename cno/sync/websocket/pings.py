"""Pings of a WebSocket: those of the application, and automatic ones that detect a dead peer.

Knows payloads and times. Must never know frames or threads.
"""

from mypy_extensions import i64

from cno.sync.timeouts import FOREVER
from cno.websocket.options import Options


class Pings:
    """When to send the next automatic ping, and which pings are answered. Times are those of
    `time.monotonic()`."""

    def __init__(self, options: Options, now: float) -> None:
        interval, timeout = options.ping_interval, options.ping_timeout
        self._interval = FOREVER if interval is None else interval
        self._timeout = FOREVER if timeout is None else timeout
        self._number: i64 = 0
        self._paused_at = now  # when the last thread stopped to read
        self._awaited = b""  # the payload of the last automatic ping
        self._answers: dict[bytes, float] = {}  # when pings were answered; 0.0: not yet
        #: When to send the next automatic ping, or to give up the peer.
        self.due = now + self._interval

    def next(self) -> bytes:
        """Return the payload of a new ping."""
        self._number += 1
        return b"%x" % self._number

    def begin(self) -> bytes:
        """Return the payload of a ping of the application."""
        payload = self.next()
        self._answers[payload] = 0.0
        return payload

    def answer_of(self, payload: bytes) -> float:
        """Return when a ping of the application was answered; 0.0: it was not."""
        return self._answers.get(payload, 0.0)

    def forget(self, payload: bytes) -> None:
        self._answers.pop(payload, None)

    def answered(self, payload: bytes, now: float) -> None:
        """Take the payload of a pong. (Some answer nothing, and others send some unasked.)"""
        if self._answers.get(payload) == 0.0:
            self._answers[payload] = now
        if self._awaited and payload == self._awaited:
            self.retry(now)

    def paused(self, now: float) -> None:
        """No thread reads any more."""
        self._paused_at = now

    def resumed(self, now: float) -> None:
        """A thread reads again: the answer may be there, unread, since long ago.

        A short pause, as between two calls that time out, gives the peer no more time.
        """
        idle = now - self._paused_at
        if self._awaited and self._timeout != FOREVER and idle > self._timeout / 4.0:
            self.due += idle

    def is_missed(self) -> bool:
        """Return whether the ping whose time is over was to be answered."""
        return bool(self._awaited) and self._timeout != FOREVER

    def begin_automatic(self, now: float) -> bytes:
        """Return the payload of an automatic ping."""
        self._awaited = self.next()
        self.due = now + (self._interval if self._timeout == FOREVER else self._timeout)
        return self._awaited

    def retry(self, now: float) -> None:
        """Send the next one after another interval."""
        self._awaited = b""
        self.due = now + self._interval
