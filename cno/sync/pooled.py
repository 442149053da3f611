"""A connection that belongs to a pool, as the pool's store sees it.

Must never know who waits for it, or why.
"""

from cno.aio.client.connect_errors import closed_before_use
from cno.const import CNO_RST_HTTP_1_1_REQUIRED
from cno.pool.connection import Origin, PooledConnection
from cno.pool.store import ConnectionStore
from cno.sync.state import Link


class PooledLink(PooledConnection):
    """The store's record of a connection."""

    def __init__(
        self, store: ConnectionStore, origin: Origin, link: Link, can_use_http1: bool
    ) -> None:
        super().__init__(origin, link.is_http2)
        self.store = store
        self.link = link
        self.can_use_http1 = can_use_http1

    def is_open(self) -> bool:
        return self.link.is_open()

    def is_busy(self) -> bool:
        return bool(self.link.exchanges)

    def is_unused(self) -> bool:
        return self.link._last_local == 0

    def slots(self) -> int:
        return self.link.slots()

    def requires_http1(self) -> bool:
        return self.was_told_http1() and self.can_use_http1

    def was_told_http1(self) -> bool:
        """Return whether the server has ended the connection because it requires HTTP/1.1."""
        return self.link.goaway_code() == CNO_RST_HTTP_1_1_REQUIRED

    def why_closed(self) -> OSError:
        return closed_before_use(self.link._end_reason, self.link.goaway_code())
