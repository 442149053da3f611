"""The upload of a request's body by a task, while the response is awaited and read.

Knows when a server wants a body (RFC 9110 10.1.1), and ends the request if the body cannot be
sent. Must never know how a head is written.
"""

import asyncio
from collections.abc import AsyncIterable

from cno.aio.channel import Channel
from cno.aio.client.response_state import ResponseState, Upload
from cno.aio.client.state import ClientLink
from cno.aio.connection.lifecycle import LOST
from cno.aio.connection.writing import write_body
from cno.aio.errors import StreamError
from cno.aio.fields import Headers
from cno.aio.sources import dispose
from cno.const import CNO_RST_CANCEL
from cno.core import DONE
from cno.errors import DisconnectError, InvalidStreamError


def start(
    conn: ClientLink,
    response: ResponseState,
    source: AsyncIterable[bytes],
    trailers: Headers | None,
    after_continue: bool,
) -> None:
    """Start the task. `after_continue`: it waits for a 100 (Continue) first."""
    upload = response._upload = Upload()
    if isinstance(source, Channel):
        upload.channel = source
    if after_continue:
        upload.continue_waiter = conn.loop.create_future()
    task = conn.loop.create_task(send(conn, response, upload, source, trailers))
    if not task.done():  # as it may be if the loop's task factory is an eager one
        upload.task = task


async def send(
    conn: ClientLink,
    response: ResponseState,
    upload: Upload,
    source: AsyncIterable[bytes],
    trailers: Headers | None,
) -> None:
    """The task: send the body."""
    try:
        waiter = upload.continue_waiter
        if waiter is not None and not await wait_for_continue(
            conn, response, upload, waiter, source
        ):
            return
        await write_body(conn, response.stream, source, trailers)
    except (StreamError, DisconnectError, InvalidStreamError) as error:
        # If the stream has ended, the reader of the response gets the error. Otherwise the error is
        # of another connection, whose message was to be the body.
        if not response._ended and conn._life.phase < LOST:
            failed(conn, response, error)
    except Exception as failure:
        failed(conn, response, failure)
    finally:
        upload.task = None


async def wait_for_continue(
    conn: ClientLink,
    response: ResponseState,
    upload: Upload,
    waiter: asyncio.Future[None],
    source: AsyncIterable[bytes],
) -> bool:
    """Wait until the body may be sent. If it must not be sent, dispose of it; return False."""
    failure: BaseException | None = None
    try:
        if await is_wanted(conn, response, upload, waiter):
            return True
    except BaseException as error:
        failure = error
    await dispose(source)  # (not in a `finally`: see `write_body`)
    if failure is not None:
        try:
            raise failure
        finally:
            failure = None  # else it would hold, by its traceback, what holds it
    return False


async def is_wanted(
    conn: ClientLink, response: ResponseState, upload: Upload, waiter: asyncio.Future[None]
) -> bool:
    """Wait for a 100 (Continue), or for long enough. Return whether the server wants the body."""
    # > A client that sends a 100-continue expectation is not required to wait for any specific
    # > length of time ... SHOULD NOT wait for an indefinite period   (RFC 9110 10.1.1)
    timeout = conn._limits.expect_timeout
    await asyncio.wait((waiter,), timeout=timeout)
    if response.code == 0 or upload.got_100:
        return not response._ended
    # A final response without a 100: the server did not need the body. Only if it is successful and
    # does not end, it may wait for the body.
    if response.code < 300 and response._is_receiving():
        again = upload.continue_waiter = conn.loop.create_future()
        await asyncio.wait((again,), timeout=timeout)
        if response._is_receiving():
            return True
    upload.body_withheld = True
    if response._complete:
        cancel_rest(conn, response)
    return False


def response_complete(conn: ClientLink, response: ResponseState) -> None:
    """After the end of a response, reset the stream if the server does not want the rest.

    (After a 2xx it may go on reading; otherwise it resets the stream: RFC 9113 8.1.)
    """
    upload = response._upload
    if upload is not None and upload.continue_waiter is not None:
        response._wake()
    if response.code >= 300 or (upload is not None and upload.body_withheld):
        cancel_rest(conn, response)


def cancel_rest(conn: ClientLink, response: ResponseState) -> None:
    """Reset the stream of a complete response if its request is not complete."""
    stream = conn._streams.get(response.stream)
    if stream is not None and stream.write != DONE and not response._tunnel:
        conn.write_reset(response.stream, CNO_RST_CANCEL)


def stream_ended(conn: ClientLink, upload: Upload) -> None:
    """Stop the task, and close the channel, at the end of the stream."""
    task = upload.task
    if task is not None and task is not asyncio.current_task(conn.loop):
        task.cancel()
    if upload.channel is not None:
        upload.channel.close()


def failed(conn: ClientLink, response: ResponseState, error: Exception) -> None:
    """Fail the response, and reset the stream: the application's body cannot be sent."""
    if response._complete or response._ended:
        conn.loop.call_exception_handler(
            {"message": "cno: sending a body failed", "exception": error, "protocol": conn}
        )
    response._failed(error)
    if not response._ended:
        conn.write_reset(response.stream, CNO_RST_CANCEL)
