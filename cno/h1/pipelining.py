"""The order of the messages on a connection, and the end of the connection after its last message.

Used by `recv` and `send` when a message is complete in either direction. A connection without
further messages (`Http1.no_more_messages`) ends when its last stream ends.
"""

from mypy_extensions import i64

from cno import streams
from cno.const import CNO_LOCAL, CNO_REMOTE, CNO_RST_NO_ERROR, CNO_RST_REFUSED_STREAM
from cno.core import CLOSED, DONE, HEAD, ON_FLOW_INCREASE, Core, Stream
from cno.h1 import compose


def written(core: Core, stream: Stream) -> None:
    """End our message on this stream."""
    h1 = core._h1
    if not core._server:
        h1.sending_id = 0
    elif stream.id == h1.next_id:
        h1.next_id += 2
        if len(h1.http10_ids) != 0:
            h1.http10_ids.pop(stream.id, None)
    try:
        if (
            core._server
            and stream.id == h1.last_id
            and stream.read != DONE
            and stream.read_left != 0
        ):
            # > A server MUST read the entire request message body or close the connection after
            # > sending its response   (RFC 9112 9.3)
            stream.write = DONE
            streams.end(core, stream, CNO_RST_NO_ERROR, CNO_LOCAL)
        else:
            streams.end_write(core, stream)
    finally:
        if stream.id == h1.last_id and core._server:
            h1.deferred_status = 0  # the peer knows that no more responses come
            drop_after(core, stream.id, CNO_RST_REFUSED_STREAM, CNO_LOCAL)
        advance(core)


def read(core: Core, stream: Stream) -> None:
    """End the peer's message on this stream, after on_message_tail."""
    h1 = core._h1
    last = not core._server and stream.id == h1.last_id
    try:
        if last and stream.write != DONE:
            # > If the client sees a response that indicates the server does not wish to receive the
            # > message body and is closing the connection, the client SHOULD immediately cease
            # > transmitting the body   (RFC 9112 9.5)
            streams.end(core, stream, CNO_RST_NO_ERROR, CNO_REMOTE)
        else:
            streams.end_read(core, stream)
    finally:
        if last:
            # > if additional pipelined requests had been sent on the connection, the client SHOULD
            # > NOT assume that they will be processed by the server.   (RFC 9112 9.6)
            drop_after(core, stream.id, CNO_RST_REFUSED_STREAM, CNO_REMOTE)
        advance(core)


def drop_after(core: Core, last: i64, code: i64, side: i64) -> None:
    """End the streams after `last`: their messages will not be written or received."""
    for id in sorted(core._streams):
        stream = streams.lookup(core, id)
        if stream is not None and id > last:
            streams.end(core, stream, code, side)


def advance(core: Core) -> None:
    """Start what can start after a message or a stream has ended, or end the connection."""
    h1 = core._h1
    if core._state == CLOSED:
        return
    if not h1.no_more_messages or len(core._streams) != 0:
        if len(h1.waiting_ids) != 0:
            _wake(core)
    elif h1.deferred_status == 0:
        streams.finish(core)
    else:
        error_response(core, h1.deferred_status, "")
        streams.finish(core)
        core.close()


def _wake(core: Core) -> None:
    """Write a queued 100, and fire on_flow_increase for a stream whose message may start now."""
    h1 = core._h1
    if core._server:
        id = h1.next_id
        if id not in h1.waiting_ids:
            return
    else:
        id = core._last_local + 2
        if h1.sending_id != 0 or h1.unsafe_id != 0 or h1.upgrade_pending != 0:
            return
    notify = h1.waiting_ids.pop(id, False)
    if h1.queued_continue and h1.expecting_id == id:
        h1.expecting_id = 0
        core._writer.write(h1.queued_continue)
        h1.queued_continue = b""
    if notify and core._wants & ON_FLOW_INCREASE:
        core.on_flow_increase(id)


def is_http10(core: Core, id: i64) -> bool:
    """Return whether the request on a server's stream came in HTTP/1.0, until it is answered."""
    if core._http2:
        return False
    old = core._h1.http10_ids
    return len(old) != 0 and id in old


def continue_queued(core: Core, id: i64) -> bool:
    """Whether a 100 on this stream has to wait for earlier responses."""
    h1 = core._h1
    return core._server and h1.expecting_id == id and h1.next_id != id


def error_response(core: Core, status: i64, text: str) -> None:
    """Write an error response if it is next in order and no response has been begun there."""
    h1 = core._h1
    if not core._server:
        return
    current = streams.lookup(core, h1.next_id)
    if current is not None and (current.id != h1.reading_id or current.write != HEAD):
        return
    reading = streams.lookup(core, h1.reading_id)
    if reading is not None and reading.write != HEAD:
        return
    # > A server that does not support persistent connections MUST send the "close" connection
    # > option in every response message that does not have a 1xx (Informational) status
    # > code.   (RFC 9112 9.3; and this connection is at its end)
    compose.status_line(core._writer, int(status), "")
    if core._dates is not None:
        core._writer.write(core._dates.now().line)
    content = core._error_content
    if content:
        core._writer.write(b"content-type: text/plain; charset=utf-8\r\n")
    core._writer.write(
        b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(content), content)
    )
