"""HTTP/1.1, output: the verbs of a connection, and responses (RFC 9112 sections 4, 6 and 7).

`send_request` has requests. Each verb checks its arguments before it writes: a call that raises
UsageError, InvalidStreamError or WouldBlockError changes nothing.
"""

from librt.strings import BytesWriter
from mypy_extensions import i64

from cno import streams
from cno.const import CNO_LOCAL, CNO_RST_NO_ERROR
from cno.core import (
    BODY,
    COPY_BELOW,
    DONE,
    HEAD,
    ON_MESSAGE_TAIL,
    TUNNEL,
    UNKNOWN_LENGTH,
    Core,
    Stream,
    put,
)
from cno.errors import InvalidStreamError, UsageError, WouldBlockError
from cno.h1 import compose, pipelining, send_request
from cno.h1.compose import Outgoing
from cno.h1.parse import protocols
from cno.h1.pipelining import error_response as error_response  # the engine calls it here
from cno.h1.sent import SentFields
from cno.h1.state import CHUNKED, LENGTH, UNDECIDED, UNTIL_CLOSE


def write_head(
    core: Core,
    id: i64,
    code: int,
    method: str,
    path: str,
    headers: list[tuple[str, str]],
    final: bool,
) -> None:
    """Write a request (client) or a response (server; `method` is its reason phrase)."""
    if not core._server:
        send_request.write_head(core, id, code, method, path, headers, final)
        return
    stream = _writable(core, id)
    if stream.write != HEAD:
        raise UsageError("the response has begun already", stream=id, rule="RFC 9112 2.1")
    if code < 100 or code > 999:
        raise UsageError(f"{code} is no status code", stream=id, rule="RFC 9110 15")
    if id != core._h1.next_id and code != 100:
        core._h1.waiting_ids[id] = True
        raise WouldBlockError(
            f"the response on stream {core._h1.next_id} must go first",
            stream=id,
            rule="RFC 9112 9.3.2",
        )
    if code >= 200:
        _write_response(core, stream, code, method, headers, final)
    elif code == 101:
        _write_switch(core, stream, method, headers, final)
    else:
        _write_informational(core, stream, code, method, headers, final)


def _writable(core: Core, id: i64) -> Stream:
    """Return the stream with this id. Raises unless our message on it is incomplete."""
    stream = streams.lookup(core, id)
    if stream is None:
        raise InvalidStreamError(f"there is no stream {id}", stream=id)
    if stream.write == DONE:
        raise InvalidStreamError(f"the message on stream {id} is complete", stream=id)
    return stream


# -- responses ------------------------------------------------------------------------------------


def _write_informational(
    core: Core, stream: Stream, code: int, reason: str, headers: list[tuple[str, str]], final: bool
) -> None:
    if final:
        # > A 1xx response is terminated by the end of the header section; it cannot contain content
        # > or trailers. ... a client MUST be able to parse one or more 1xx responses received prior
        # > to a final response   (RFC 9110 15.2)
        raise UsageError("an informational response is never the last", stream=stream.id)
    h1 = core._h1
    queued = stream.id != h1.next_id  # only a 100 can be queued
    writer = BytesWriter() if queued else core._writer
    mark = len(writer)
    try:
        out = Outgoing(False, True)
        compose.status_line(writer, code, reason)
        compose.field_lines(writer, headers, out)
        compose.connection(writer, out, False, False)
        writer.write(b"\r\n")
    except BaseException:
        writer.truncate(mark)
        raise
    if stream.id in h1.http10_ids:
        # > a server MUST NOT send a 1xx response to an HTTP/1.0 client.   (RFC 9110 15.2)
        writer.truncate(mark)
    elif code != 100 or h1.expecting_id != stream.id:
        pass  # a queued 100 is useless to a client that does not wait for it
    elif queued:
        # Queue the 100. The application need not try again: it waits for the body, whose sender
        # waits for this 100.
        h1.queued_continue = writer.getvalue()
        h1.waiting_ids.setdefault(int(stream.id), False)
    else:
        h1.expecting_id = 0


def _write_switch(
    core: Core, stream: Stream, reason: str, headers: list[tuple[str, str]], final: bool
) -> None:
    """Write 101: from here on the connection speaks another protocol."""
    h1 = core._h1
    if h1.upgrade_pending != stream.id or stream.connect:
        # > A server MUST NOT switch to a protocol that was not indicated by the client in the
        # > corresponding request's Upgrade header field.   (RFC 9110 7.8)
        raise UsageError("101 without an upgrade asked for", stream=stream.id, rule="RFC 9110 7.8")
    if stream.read != DONE:
        raise UsageError("101 before the end of the request", stream=stream.id)
    mark = len(core._writer)
    try:
        out = Outgoing(False, True)
        compose.status_line(core._writer, 101, reason)
        compose.field_lines(core._writer, headers, out)
        if out.upgrade is None:
            # > A server that sends a 101 (Switching Protocols) response MUST send an Upgrade header
            # > field to indicate the new protocol(s)   (RFC 9110 7.8)
            raise UsageError("101 needs an upgrade field", stream=stream.id, rule="RFC 9110 7.8")
        named, offered = protocols(out.upgrade), h1.offered or []
        if not named or not all(protocol in offered for protocol in named):
            raise UsageError("101 to what was not asked for", stream=stream.id, rule="RFC 9110 7.8")
        compose.connection(core._writer, out, False, False)
        core._writer.write(b"\r\n")
    except BaseException:
        core._writer.truncate(mark)
        raise
    _open_tunnel(core, stream, final)


def _open_tunnel(core: Core, stream: Stream, final: bool) -> None:
    h1 = core._h1
    h1.upgrade_pending = 0
    h1.tunnel_id = stream.id
    h1.reading_id = stream.id
    h1.no_more_messages = True
    stream.read = TUNNEL
    stream.write = TUNNEL
    if final:
        _end_tunnel(core, stream)


def _write_response(
    core: Core, stream: Stream, code: int, reason: str, headers: list[tuple[str, str]], final: bool
) -> None:
    h1 = core._h1
    size = core._body_size
    core._body_size = UNKNOWN_LENGTH
    tunnel = stream.connect and code < 300
    writer = core._writer
    mark = len(writer)
    try:
        # > A server MUST NOT send a Transfer-Encoding header field in any response with a status
        # > code of 1xx (Informational) or 204 (No Content) ... in any 2xx (Successful) response to
        # > a CONNECT request   (RFC 9112 6.1)
        out = Outgoing(False, tunnel or code == 204)
        compose.status_line(writer, code, reason)
        sent = h1.sent
        if sent is None:
            sent = h1.sent = SentFields()
        compose.response_lines(writer, headers, out, sent)
        compose.date(writer, core._dates, out)
        if size > 0 and out.length == UNKNOWN_LENGTH and not out.frameless and code != 304:
            if out.codings is None:
                compose.length(writer, size)
                out.length = size
        framing = LENGTH
        bodiless = stream.head or code == 204 or code == 304
        if not bodiless and not tunnel:
            framing = _frame(core, stream, out, final)
        # A refused CONNECT is the last request of its connection (RFC 9931, updating RFC 9112). A
        # client that did not wait for the response may have sent data for the tunnel, from another
        # party, which must not be parsed as requests.
        last = not tunnel and (
            stream.connect
            or out.close
            or framing == UNTIL_CLOSE
            or stream.id == h1.last_id
            or h1.expecting_id == stream.id
        )
        compose.connection(writer, out, last, not tunnel and _is_http10(core, stream))
        writer.write(b"\r\n")
    except BaseException:
        writer.truncate(mark)
        raise
    if tunnel:
        _open_tunnel(core, stream, final)
        return
    if last:
        h1.last_id = stream.id
        h1.no_more_messages = True
    h1.framing = framing
    stream.body_suppressed = bodiless
    stream.write_left = out.length
    stream.write = BODY
    if h1.upgrade_pending == stream.id:
        _decline(core, stream)
        if stream.write != BODY:
            return
    if final:
        pipelining.written(core, stream)


def _is_http10(core: Core, stream: Stream) -> bool:
    old = core._h1.http10_ids
    return len(old) != 0 and stream.id in old


def _frame(core: Core, stream: Stream, out: Outgoing, final: bool) -> i64:
    """Decide how the body of a response ends, and write the field that says so."""
    writer = core._writer
    if out.length != UNKNOWN_LENGTH:
        if out.codings is not None:
            # > A sender MUST NOT send a Content-Length header field in any message that contains a
            # > Transfer-Encoding header field.   (RFC 9112 6.2)
            raise UsageError("content-length and transfer-encoding", stream=stream.id)
        if final and out.length != 0:
            raise _wrong_length(stream, out.length, 0)
        return LENGTH
    if final:
        writer.write(b"content-length: 0\r\n")
        return LENGTH
    if _is_http10(core, stream):
        # > A server MUST NOT send a response containing Transfer-Encoding unless the corresponding
        # > request indicates HTTP/1.1 (or later minor revisions).   (RFC 9112 6.1)
        if compose.inner_codings(out) != "":
            raise UsageError("HTTP/1.0 has no transfer codings", stream=stream.id)
        return UNTIL_CLOSE
    compose.transfer_encoding(writer, out)
    return CHUNKED


def _decline(core: Core, stream: Stream) -> None:
    """Refuse a pending upgrade or tunnel: HTTP/1.1 continues, or ends after a CONNECT."""
    h1 = core._h1
    h1.upgrade_pending = 0
    if stream.connect and stream.read != DONE:
        # The CONNECT request was an ordinary message.
        h1.reading_id = 0
        stream.read = DONE
        if core._wants & ON_MESSAGE_TAIL:
            core.on_message_tail(stream.id, None)


# -- bodies ---------------------------------------------------------------------------------------


def write_data(core: Core, id: i64, data: bytes, final: bool) -> int:
    """Write a piece of a body or tunnel. Returns its size: all of it is taken."""
    stream = _writable(core, id)
    h1 = core._h1
    n: i64 = len(data)
    if stream.write != BODY:
        if stream.write == HEAD:
            raise UsageError("the head must be written first", stream=id)
        if n != 0:
            put(core, data)
        if final:
            _end_tunnel(core, stream)
        return n
    framing = h1.framing
    if stream.body_suppressed:
        # > Any response to a HEAD request and any response with a 1xx (Informational), 204 (No
        # > Content), or 304 (Not Modified) status code is always terminated by the first empty line
        # > after the header fields   (RFC 9112 6.3)
        pass
    elif framing == CHUNKED:
        if n != 0:
            _put_chunk(core, data, n)
        if final:
            core._writer.write(b"0\r\n\r\n")
    elif framing == UNDECIDED:
        raise WouldBlockError("the tunnel is not open yet", stream=id, rule="RFC 9110 9.3.6")
    else:
        if framing == LENGTH:
            left = stream.write_left
            if n > left or (final and n != left):
                raise _wrong_length(stream, left, n)
            stream.write_left = left - n
        if n != 0:
            put(core, data)
    if final:
        pipelining.written(core, stream)
    return n


def count_data(core: Core, id: i64, size: i64, commit: bool) -> bool:
    """Return whether `size` bytes of a body may be written past the engine: it is framed by a
    content-length, which has room for them. With `commit`, they have been."""
    stream = _writable(core, id)
    if stream.write != BODY or stream.body_suppressed or core._h1.framing != LENGTH:
        return False
    if size > stream.write_left:
        return False
    if commit:
        stream.write_left -= size
    return True


def _put_chunk(core: Core, data: bytes, n: i64) -> None:
    writer = core._writer
    compose.chunk_size(writer, n)
    if n < COPY_BELOW:
        writer.write(data)
    else:
        put(core, data)
    writer.write(b"\r\n")


def _wrong_length(stream: Stream, left: i64, given: i64) -> UsageError:
    # > a sender MUST NOT forward a message with a Content-Length header field value that is known
    # > to be incorrect   (RFC 9110 8.6)
    return UsageError(
        f"{given} bytes of body, but content-length leaves {left}",
        stream=stream.id,
        rule="RFC 9110 8.6",
    )


def _end_tunnel(core: Core, stream: Stream) -> None:
    """End a tunnel in both directions: TCP's end is the only signal to the peer."""
    try:
        streams.end(core, stream, CNO_RST_NO_ERROR, CNO_LOCAL)
    finally:
        pipelining.advance(core)


def write_tail(core: Core, id: i64, trailers: list[tuple[str, str]]) -> None:
    """End a body with trailers. They are dropped if the body is not chunked."""
    stream = _writable(core, id)
    if stream.write != BODY or core._h1.framing == UNDECIDED:
        raise UsageError("trailers come after a body", stream=id, rule="RFC 9112 7.1.2")
    framing = core._h1.framing
    if framing == LENGTH and not stream.body_suppressed and stream.write_left != 0:
        raise _wrong_length(stream, stream.write_left, 0)
    writer = core._writer
    mark = len(writer)
    try:
        writer.write(b"0\r\n")
        compose.trailer_lines(writer, trailers)
        writer.write(b"\r\n")
    except BaseException:
        writer.truncate(mark)
        raise
    if framing != CHUNKED or stream.body_suppressed:
        writer.truncate(mark)
    pipelining.written(core, stream)


# -- ends -----------------------------------------------------------------------------------------


def write_reset(core: Core, id: i64, code: i64) -> None:
    """Give up a stream.

    It ends with (code, CNO_LOCAL), and so do later streams, whose messages cannot be sent any more.
    The connection closes when earlier streams are done: at once if there are none, or if part of a
    message has been written.
    """
    stream = streams.lookup(core, id)
    if stream is None:
        raise InvalidStreamError(f"there is no stream {id}", stream=id)
    h1 = core._h1
    h1.no_more_messages = True
    h1.upgrade_pending = 0
    h1.deferred_status = 0  # else the client would take it for the response to this request
    half = stream.write == TUNNEL or (core._server and stream.write == BODY)
    if core._server:
        h1.last_id = id - 2
    try:
        streams.end(core, stream, code, CNO_LOCAL)
        pipelining.drop_after(core, id, code, CNO_LOCAL)
    finally:
        pipelining.advance(core)
        if half:
            core.close()


def shutdown(core: Core) -> None:
    """Begin no more messages. on_close follows the end of the open streams."""
    h1 = core._h1
    core._draining = True
    h1.no_more_messages = True
    if core._server and h1.last_id == 0 and h1.deferred_status == 0:
        h1.last_id = core._last_remote
    pipelining.advance(core)
