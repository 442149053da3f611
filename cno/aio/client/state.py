"""The state of a client's connection: its requests, and the observer of its life.

Functions in other modules of this package are the behaviour. Must never know addresses, or who
made the transport.
"""

import asyncio
from collections import deque
from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from cno.aio.client.connect_errors import closed_before_use
from cno.aio.client.forward_proxy import ForwardProxy
from cno.aio.client.request_observer import RequestObserver
from cno.aio.client.response_state import PushState, ResponseState
from cno.aio.client.unclaimed import Unclaimed
from cno.aio.connection.lifecycle import FLUSHING
from cno.aio.connection.protocol import Connection
from cno.aio.fields import Headers
from cno.const import MAX_STREAM_ID
from cno.limits import Limits
from cno.settings import SettingsDict

#: Requests that are open at most before the server's first SETTINGS. A server should allow no fewer
#: (RFC 9113 6.5.2), and would refuse those beyond its limit.
MAX_BEFORE_SETTINGS: Final = 100


@final
class Requests:
    """The requests of one connection: their common fields, and the waiting ones."""

    def __init__(self) -> None:
        self.credentials: str | None = None  # of requests that have none of their own
        self.forward_proxy: ForwardProxy | None = None  # the proxy that forwards them
        self.waiting: deque[asyncio.Future[None]] = deque()  # for the server to allow them
        self.only_one = False  # the connection closes after the open request
        self.answered = False  # a response has been received
        self.early_reset_mark: i64 = -1  # `Intake.received` at the last early reset of a request
        self.unclaimed: Unclaimed | None = None  # pushes, once there are any
        self.reader_check: asyncio.TimerHandle | None = None  # of a graceful close


@mypyc_attr(allow_interpreted_subclasses=True)
class ClientObserver:
    """An observer of one connection: the pool."""

    def freed(self, in_input: bool) -> None:
        """The connection may take more requests. `in_input`: `input_processed` follows."""

    def input_processed(self) -> None:
        """A batch of input has been processed."""

    def requests_wait(self) -> bool:
        """Return whether requests wait for this connection elsewhere."""
        return False

    def requests_not_allowed(self) -> None:
        """The server has allowed no requests for `write_stall_timeout`."""

    def suspected(self) -> None:
        """The server has left a request unanswered, and must answer a PING now."""

    def trusted(self) -> None:
        """The server has answered that PING."""

    def lost(self) -> None:
        """The connection has ended."""


@mypyc_attr(allow_interpreted_subclasses=True)
class ClientLink(Connection):
    """A connection with the requests that are sent over it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        authority: str | None,
        force_http2: bool,
        limits: Limits,
        settings: SettingsDict | None,
    ) -> None:
        super().__init__(False, loop, limits, settings)
        self.authority = authority
        self._force_http2 = force_http2
        self._requests = Requests()
        self._observer: ClientObserver | None = None

    def _new_response(self, stream: int, observer: RequestObserver | None = None) -> ResponseState:
        """Return the object that applications get for a response."""
        raise NotImplementedError

    def _new_push(
        self, response: ResponseState, method: str, path: str, headers: Headers
    ) -> PushState:
        """Return the object that applications get for a push."""
        raise NotImplementedError

    def _observe(self, observer: ClientObserver | None) -> None:
        """Have an observer learn of the events of this connection."""
        self._observer = observer


def is_open(client: ClientLink) -> bool:
    """Return whether requests can be sent, now or later."""
    if client._life.phase >= FLUSHING or client._draining:
        return False
    if client._last_local >= MAX_STREAM_ID - 1:
        return False
    if client._http2:
        return client._h2.goaway_received > MAX_STREAM_ID
    return not client._h1.no_more_messages


def goaway_code(client: ClientLink) -> int:
    """Return the error code of the server's GOAWAY; 0: it sent none, or has no error."""
    return int(client._h2.goaway_code) if client._http2 else 0


def why_unused(client: ClientLink) -> OSError:
    """Return why the connection ended before its first request."""
    return closed_before_use(client._end_reason, goaway_code(client))
