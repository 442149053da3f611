"""Writes a body that comes piece by piece, and leaves its source at the end.

Knows how a connection takes a piece. Must never know whose body it is.
"""

from collections.abc import AsyncIterable

from cno.aio.connection import send_queue
from cno.aio.connection.pending_write import PendingWrite
from cno.aio.connection.protocol import Connection
from cno.aio.connection.sendfile import send_file
from cno.aio.fields import Headers
from cno.aio.file_range import FileRange
from cno.aio.sources import dispose, file_range, to_bytes


async def write_body(
    conn: Connection, stream: int, source: AsyncIterable[bytes], trailers: Headers | None
) -> None:
    """Write all that `source` gives, then the trailers as they are by then, then the end."""
    failure: BaseException | None = None
    exchange = conn._exchanges.get(stream)
    try:
        part = source if isinstance(source, FileRange) else file_range(source)
        if part is not None:
            try:
                await send_file(conn, stream, part)
            finally:
                part.close()
        else:
            async for chunk in source:
                data = to_bytes(chunk)
                if data:
                    await send_queue.perform(conn, PendingWrite(stream, data, False))
                    if exchange is not None:
                        exchange._count_sent(len(data))
        await send_queue.perform(conn, PendingWrite(stream, b"", True, trailers=trailers))
    except BaseException as error:
        failure = error
    # Who fills a channel must learn that nobody empties it any more; a generator must be left. (Not
    # in a `finally`: to wait in one, compiled code leaves the exception to whoever runs meanwhile.)
    try:
        await dispose(source)
    except BaseException as error:
        if error.__context__ is None:
            error.__context__ = failure  # as if it had been raised in a `finally`
        failure = error
    if failure is not None:
        try:
            raise failure
        finally:
            failure = None  # else it would hold, by its traceback, what holds it
