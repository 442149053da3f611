"""A write on a stream that is not complete yet. Must never know a connection."""

import asyncio
from typing import Final, final

from mypy_extensions import i64

from cno.aio.fields import Headers
from cno.core import UNKNOWN_LENGTH

#: The rank of a write that has not been compared with others.
UNRANKED: Final = -1


@final
class PendingWrite:
    """A head, data and trailers, each optional, and how much of them is written."""

    def __init__(
        self,
        stream: int,
        data: bytes,
        final: bool,
        headers: Headers | None = None,
        code: int = 0,
        *,
        length: i64 = UNKNOWN_LENGTH,
        trailers: Headers | None = None,
    ) -> None:
        self.stream = stream
        self.headers = headers  # of the head, until it is written
        self.code = code
        self.reason = ""
        self.data = data
        self.written: i64 = 0  # bytes of `data` that are written
        self.final = final  # this is the last write on the stream
        self.length: i64 = length  # bytes of the whole body, for its content-length
        self.trailers = trailers
        self.blocked = False  # the last attempt wrote less than it could have
        self.blocked_at: i64 = (
            -1
        )  # INITIAL_WINDOW_SIZE when the stream's window blocked this; -1: it does not
        self.retry_at: i64 = 0  # try a small window again at this `SendBuffer.body_written`
        self.rank: i64 = UNRANKED  # smaller is sent first; even: not incremental
        self.waiter: asyncio.Future[None] | None = None
        self.error: Exception | None = None
        # -- the state that the timer saw last ---------------------------------------------------
        self.seen_written: i64 = 0
        self.seen_window: i64 = 0  # of the stream
        self.seen_connection_window: i64 = 0
        self.seen_at = 0.0  # when the timer first saw that; 0: never
