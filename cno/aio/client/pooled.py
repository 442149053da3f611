"""A client's connection in a pool: the facts that the pool's store asks for, and the events.

Must never know which requests wait, or why.
"""

import asyncio
from typing import Any, Final

from mypy_extensions import i64, mypyc_attr

from cno.aio.client.connection import Client
from cno.aio.client.state import (
    MAX_BEFORE_SETTINGS,
    ClientObserver,
    goaway_code,
    is_open,
    why_unused,
)
from cno.aio.client.unread_input import has_input, poller_of, socket_number
from cno.aio.connection.lifecycle import FLUSHING
from cno.aio.connection.timeouts import is_greeting
from cno.const import CNO_RST_HTTP_1_1_REQUIRED
from cno.pool.connection import Dial, Origin, PooledConnection

#: Seconds in which a suspected server must answer a PING. Then new requests get another connection.
SUSPECT_TIMEOUT: Final = 1.0


@mypyc_attr(allow_interpreted_subclasses=True)
class PoolListener:
    """Receives the events of a pool's connections."""

    def dialed(self, dial: Dial, client: Client) -> None:
        """A connection has been made."""

    def dial_failed(self, dial: Dial, error: BaseException) -> None:
        """A connection cannot be made, or nobody waits for it any more."""

    def capacity_changed(self, connection: "ClientConnection") -> None:
        """It takes more requests than before, or none any more."""

    def lost(self, connection: "ClientConnection") -> None:
        """It is closed."""

    def ping_unanswered(self, connection: "ClientConnection") -> None:
        """It has not answered a PING, and probably never will."""

    def refuses(self, connection: "ClientConnection") -> None:
        """Its server has allowed no requests for too long."""

    def can_use_http1(self, client: Client) -> bool:
        """Return whether HTTP/1.1 can be offered to its server instead of HTTP/2."""
        return False


class ClientConnection(PooledConnection):
    """The store's record of a client's connection."""

    def __init__(self, origin: Origin, client: Client, listener: PoolListener) -> None:
        super().__init__(origin, client.is_http2)
        self.client = client
        self._listener = listener
        self._poller: Any = None

    def is_open(self) -> bool:
        return is_open(self.client)

    def is_busy(self) -> bool:
        return bool(self.client._exchanges)

    def is_unused(self) -> bool:
        return self.client._last_local == 0

    def slots(self) -> int:
        client = self.client
        if client._transport_state.full or client._timeouts.suspected:
            return 0
        if not client._http2:
            return 1
        most: i64 = client._remote._max_concurrent_streams
        if most > MAX_BEFORE_SETTINGS and is_greeting(client):
            most = MAX_BEFORE_SETTINGS
        return int(most - client._count_local)

    def requires_http1(self) -> bool:
        return self.was_told_http1() and self._listener.can_use_http1(self.client)

    def why_closed(self) -> OSError:
        return why_unused(self.client)

    def was_told_http1(self) -> bool:
        """Return whether the server has ended the connection because it requires HTTP/1.1."""
        return goaway_code(self.client) == CNO_RST_HTTP_1_1_REQUIRED

    def passed_over(self, stream: i64) -> bool:
        """Return whether the server has ended the connection by GOAWAY after other requests, and
        before this one."""
        client = self.client
        return client._http2 and 0 < client._h2.goaway_received < stream

    def has_input(self) -> bool:
        """Return whether the transport has input that it has not read: its end, perhaps."""
        if self._poller is None:
            number = socket_number(self.client.transport)
            if number < 0:
                return False
            self._poller = poller_of(number)
            if self._poller is None:
                return has_input(number)
        return bool(self._poller.poll(0))


class PoolObserver(ClientObserver):
    """Tells the listener what happens to a connection of a pool."""

    def __init__(self, connection: ClientConnection, listener: PoolListener) -> None:
        self._connection = connection
        self._listener = listener
        self._freed = False  # by the input that is being processed
        self._deadline: asyncio.TimerHandle | None = None  # of the answer to a PING

    def freed(self, in_input: bool) -> None:
        if in_input:
            self._freed = True
        else:
            self._listener.capacity_changed(self._connection)

    def input_processed(self) -> None:
        # A GOAWAY, for instance, frees nothing, but a request need not wait for this connection
        # any more.
        connection = self._connection
        if self._freed or not (connection.is_retired or connection.is_usable()):
            self._freed = False
            self._listener.capacity_changed(connection)

    def requests_wait(self) -> bool:
        connection = self._connection
        origin = connection.origin
        return origin.shared is connection and bool(origin.waiting)

    def requests_not_allowed(self) -> None:
        self._listener.refuses(self._connection)

    def suspected(self) -> None:
        if self._deadline is None:
            client = self._connection.client
            self._deadline = client.loop.call_later(
                SUSPECT_TIMEOUT, self._expire, context=client._context
            )

    def trusted(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()  # the next suspicion starts its own timer
            self._deadline = None

    def lost(self) -> None:
        self.trusted()
        self._listener.lost(self._connection)

    def _expire(self) -> None:
        self._deadline = None
        client = self._connection.client
        if client._timeouts.suspected and client._life.phase < FLUSHING:
            self._listener.ping_unanswered(self._connection)
