"""Writes the response to a request: its head and body, interim responses, pushes, an upgrade.

Knows which parts of a message HTTP requires. Must never know when a handler starts.
"""

from collections.abc import AsyncIterable, Iterable

from cno.aio.channel import Channel
from cno.aio.connection import leftover, send_queue
from cno.aio.connection.pending_write import PendingWrite
from cno.aio.connection.writing import write_body
from cno.aio.fields import Headers, as_list, value_of, with_length
from cno.aio.server.request_state import RequestState
from cno.aio.sources import Body, dispose, size_of, source_of, whole_body
from cno.core import UNKNOWN_LENGTH
from cno.errors import ConnectionError, UsageError

# -- what may be written ---------------------------------------------------------------------------


def check_open(request: RequestState) -> None:
    """Raise the error of the stream if it has ended."""
    if request._ended:
        raise request._end_error("the stream has ended")


def check_unanswered(request: RequestState, code: int) -> None:
    """Raise UsageError unless a final response with this status can begin."""
    if request._response_begun:
        raise UsageError("the request has been answered", stream=request.stream)
    if code < 200:
        raise UsageError(
            f"{code} is not a final status: use inform() or upgrade()", stream=request.stream
        )
    check_open(request)


# -- the head --------------------------------------------------------------------------------------


def begin(request: RequestState, head: PendingWrite) -> bool:
    """Write the head, with what follows in the same write, as far as possible without waiting.
    Return whether that was all; if not, await `finish`."""
    request._response_begun = True
    request._code = head.code
    request._response_headers = head.headers
    if request._buffer is not None:
        request._buffer.awaited = False
    try:
        return send_queue.start(request._conn, head)
    except BaseException:
        # If the head has not been written, the handler can send another response.
        request._response_begun = head.headers is None
        raise


async def finish(request: RequestState, head: PendingWrite) -> None:
    """Wait until the rest has been accepted."""
    try:
        await send_queue.finish(request._conn, head)
    except BaseException:
        request._response_begun = head.headers is None
        raise


async def send_head(request: RequestState, head: PendingWrite) -> None:
    """Write the head, with what follows in the same write."""
    if not begin(request, head):
        await finish(request, head)


# -- responses -------------------------------------------------------------------------------------


async def respond(
    request: RequestState,
    code: int,
    headers: Iterable[tuple[str, str]],
    data: Body,
    trailers: Headers | None,
) -> None:
    """Send a response; wait until the transport has accepted all of it."""
    source = None if isinstance(data, bytes) else source_of(data)
    if source is not None:
        await in_pieces(request, code, headers, source, trailers)
        return
    check_unanswered(request, code)
    fields = as_list(headers)
    bodiless = code == 204 or code == 304 or request.method == "HEAD"
    body = data if isinstance(data, bytes) else whole_body(data)
    chunked = trailers and not request._conn._http2  # in HTTP/1.1, trailers need that framing
    whole = PendingWrite(
        request.stream,
        b"" if bodiless else body,
        True,
        fields,
        code,
        length=UNKNOWN_LENGTH if chunked else len(body),
        trailers=None if bodiless else trailers,
    )
    if not begin(request, whole):
        await finish(request, whole)
    if not bodiless:
        request._count_sent(len(body))
    request._end_output()


async def in_pieces(
    request: RequestState,
    code: int,
    headers: Iterable[tuple[str, str]],
    source: AsyncIterable[bytes],
    trailers: Headers | None,
) -> None:
    """Send a response whose body comes piece by piece."""
    if isinstance(source, Channel):
        request._channel = source
    bodiless = code == 204 or code == 304 or request.method == "HEAD"
    failure: BaseException | None = None
    try:
        check_unanswered(request, code)
        fields = as_list(headers)
        size = size_of(source)
        if size >= 0 and not trailers and code != 204 and code != 304:
            fields = with_length(fields, size)
        await send_head(request, PendingWrite(request.stream, b"", bodiless, fields, code))
    except BaseException as error:
        failure = error
    if failure is not None:
        # Close the source, so that its producer stops. (Not in a `finally`: see `write_body`.)
        await dispose(source)
        try:
            raise failure
        finally:
            failure = None
    if not bodiless:
        await write_body(request._conn, request.stream, source, trailers)
        request._end_output()
        return
    request._end_output()
    if isinstance(source, Channel):
        await leftover.drop_channel(request._conn, source)
    else:
        await dispose(source)


async def inform(request: RequestState, code: int, headers: Iterable[tuple[str, str]]) -> None:
    """Send an interim (1xx) response."""
    if code < 100 or code > 199 or code == 101:
        raise UsageError(
            f"{code} is not an interim status", stream=request.stream, rule="RFC 9110 15.2"
        )
    check_open(request)
    if request._response_begun:
        raise UsageError("the response has begun", stream=request.stream, rule="RFC 9110 15.2")
    if code == 100 and request._buffer is not None:
        request._buffer.awaited = False
    head = PendingWrite(request.stream, b"", False, as_list(headers), code)
    await send_queue.perform(request._conn, head)


def push(request: RequestState, method: str, path: str, headers: Iterable[tuple[str, str]]) -> None:
    """Promise the client the response to a request that it has not made."""
    fields = as_list(headers)
    own = []
    for name in (":scheme", ":authority"):
        value = value_of(request.headers, name)
        if value is not None and value_of(fields, name) is None:
            own.append((name, value))
    check_open(request)
    request._conn.write_push(request.stream, method, path, own + fields)


# -- upgrades --------------------------------------------------------------------------------------


async def upgrade(request: RequestState, headers: Iterable[tuple[str, str]]) -> None:
    """Accept the upgrade that the client asks for."""
    fields = as_list(headers)
    if request.method == "CONNECT":
        code = 200
    elif request._upgradable:
        code = 101
        if not any(name.lower() == "upgrade" for name, _ in fields):
            asked = value_of(request.headers, "upgrade") or ""
            fields = [*fields, ("upgrade", asked.partition(",")[0].strip())]
        if not any(name.lower() == "connection" for name, _ in fields):
            fields = [*fields, ("connection", "upgrade")]
    else:
        raise UsageError(
            "the client did not ask for an upgrade", stream=request.stream, rule="RFC 9110 7.8"
        )
    check_unanswered(request, 200)
    head = PendingWrite(request.stream, b"", False, fields, code)
    if code == 101:
        await switch(request, head)
    else:
        await send_head(request, head)


async def switch(request: RequestState, head: PendingWrite) -> None:
    """Send a 101. The bytes that follow the request are not its body."""
    before = request._take_body()
    try:
        await send_head(request, head)
    except ConnectionError:
        request._restore_body(before)
        raise
