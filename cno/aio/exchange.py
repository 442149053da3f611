"""One stream as a connection sees it: what is coming in on it, and how it ended.

Requests and responses are built on it. Must never know what either of them is.
"""

import asyncio
from typing import TYPE_CHECKING

from mypy_extensions import i64

from cno.aio import intake
from cno.aio.body import Inflow, Payload
from cno.aio.errors import ConnectionLostError, claim, fresh
from cno.aio.output import Headers

if TYPE_CHECKING:
    from cno.aio.connection import Connection


class Exchange:
    """One stream: what is coming in on it, and how it ended.

    `stream` is its id, `headers` those of the message coming in, `trailers` likewise (None until
    it is complete, and where there are none).
    """

    def __init__(self, conn: "Connection", stream: int, headers: Headers) -> None:
        self._conn = conn
        self.stream = stream
        self.headers = headers
        self.trailers: Headers | None = None
        self._inflow: Inflow | None = None
        self._reader: Payload | None = None
        self._complete = False  # all of the peer's message has come
        self._sent = False  # all of ours has gone
        self._ended = False  # the stream exists no longer
        self._discard = False  # nobody is interested in the rest of the peer's message
        self._drained: i64 = 0  # octets of it that came nevertheless
        self._parting: asyncio.TimerHandle | None = None  # until when that may go on
        self._tunnel = False  # octets without end of message go either way
        self._error: Exception | None = None  # why the peer's message will never be complete
        self._error_delivered = False  # its waiter gets the error, and is not cancelled

    @property
    def payload(self) -> asyncio.StreamReader:
        """The body that is coming in."""
        if self._reader is None:
            self._reader = Payload(self._flow())
        return self._reader

    def _flow(self) -> Inflow:
        inflow = self._inflow
        if inflow is None:
            inflow = self._inflow = Inflow(self._conn, self.stream, self._conn.loop)
            if self._error is not None:
                inflow.fail(self._error)
            elif self._complete:
                inflow.end()
            elif self._ended:
                inflow.detach()
            else:
                self._conn._hurry()
        return inflow

    def _open_tunnel(self) -> None:
        """There are no messages on this stream any more."""
        self._tunnel = True
        intake.resume_input(self._conn)

    def _completed(self, trailers: Headers | None) -> None:
        self._complete = True
        self.trailers = trailers
        if self._inflow is not None:
            self._inflow.end()

    def _gone(self, text: str) -> Exception:
        """The error to raise for what the end of the stream makes impossible."""
        if self._error is not None:
            return fresh(self._error)
        gone = ConnectionLostError(text, stream=self.stream)
        gone._connection = self._conn._number
        return gone

    def _where(self) -> str:
        """What the peer had sent of its message when the connection ended, for an error's text."""
        return " in the middle of a tunnel" if self._tunnel else " in the middle of the request"

    def _failed(self, error: Exception) -> None:
        """The peer's message will never be complete."""
        claim(error, self._conn._number)
        if not self._complete and self._error is None:
            self._error = error
            if self._inflow is not None:
                self._inflow.fail(error)
