"""The options of a WebSocket: bounds, timeouts, compression."""

import logging
from typing import Final

log: Final = logging.getLogger("cno.websocket")


class Options:
    """Bounds and timeouts of a WebSocket.

    `max_message_size`: bytes of the largest message that is received (None: no bound).
    `max_queue`: messages that are received before the application takes them; beyond that, or
    beyond `max_queue_size` bytes, the peer has to wait. `ping_interval`: seconds between two pings
    (None: none are sent); a peer that has not answered one after `ping_timeout` seconds is given
    up (None: never). `close_timeout`: seconds that the peer may take to answer our close frame.
    `compression`: whether permessage-deflate (RFC 7692) is offered and accepted.
    """

    def __init__(
        self,
        *,
        max_message_size: int | None = 16 * 2**20,
        max_queue: int = 32,
        max_queue_size: int = 65_536,
        max_fragments: int = 16_384,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        close_timeout: float = 10.0,
        compression: bool = True,
    ) -> None:
        if max_queue < 1 or max_queue_size < 1 or max_fragments < 1:
            raise ValueError("a queue, and a message, hold at least one")
        self.max_message_size = max_message_size
        self.max_queue = max_queue
        self.max_queue_size = max_queue_size
        self.max_fragments = max_fragments
        self.ping_interval = ping_interval
        self.ping_timeout = ping_timeout
        self.close_timeout = close_timeout
        self.compression = compression
        self.logger = log


DEFAULT: Final = Options()
