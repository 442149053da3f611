"""HTTP/2, output: heads, data, trailers, pushes, resets, pings.

Each function checks its arguments before it writes: one that raises has written nothing. Knows
nothing of what comes in.
"""

from typing import Final

from mypy_extensions import i64

from cno.const import (
    CNO_FLAG_END_STREAM,
    CNO_FRAME_HEADERS,
    CNO_FRAME_PUSH_PROMISE,
    CNO_FRAME_UNKNOWN,
    CNO_LOCAL,
    CNO_RST_NO_ERROR,
    MAX_STREAM_ID,
    MAX_U32,
)
from cno.core import (
    BODY,
    CLOSED,
    DONE,
    HEAD,
    ON_MESSAGE_HEAD,
    ON_MESSAGE_TAIL,
    TUNNEL,
    UNKNOWN_LENGTH,
    Core,
    Stream,
)
from cno.date import Stamp
from cno.errors import (
    DisconnectError,
    InvalidStreamError,
    Reason,
    UnsupportedError,
    UsageError,
    WouldBlockError,
)
from cno.h2 import flow, frame_writer, send_fields
from cno.h2.state import SMALL_SENT, SMALL_WINDOW, expect_late, remember_reset
from cno.headers import EXPECT_CONTENT
from cno.streams import count, end, end_write, lookup, start

#: The data of our PING during a graceful shutdown.
SHUTDOWN_PING: Final = b"shutdown"
#: The content-length of a message without content.
NO_CONTENT: Final[object] = ("content-length", "0")
#: The data of the PING that measures the round-trip time.
PROBE_PING: Final = b"\0cno rtt"


def write_head(
    core: Core,
    id: i64,
    code: int,
    method: str,
    path: str,
    headers: list[tuple[str, str]],
    final: bool,
) -> None:
    """Write a request (client) or a response, perhaps a 1xx (server)."""
    if core._server:
        _write_response(core, id, code, headers, final)
    else:
        _write_request(core, id, code, method, path, headers, final)


def _write_request(
    core: Core,
    id: i64,
    code: int,
    method: str,
    path: str,
    headers: list[tuple[str, str]],
    final: bool,
) -> None:
    if code != 0:
        raise UsageError("a client sends requests: code must be 0", stream=int(id))
    _check_new_request(core, id)
    encoder = core._h2.encoder
    fields, authority, protocol = send_fields.request(encoder, core.scheme, method, path, headers)
    tunnel = method == "CONNECT"
    # > A sender MUST NOT send a :protocol pseudo-header field with this value unless the peer has
    # > sent SETTINGS_ENABLE_CONNECT_PROTOCOL.   (RFC 8441 3, 4)
    if protocol and core._remote._enable_connect_protocol == 0:
        raise UnsupportedError(
            "the peer takes no extended CONNECT", stream=int(id), rule="RFC 8441 3"
        )
    length = send_fields.length_of(fields)
    if tunnel:
        length = UNKNOWN_LENGTH
    if final and length > 0:
        raise UsageError("content-length without content", stream=int(id), rule="RFC 9110 8.6")
    if final and length == UNKNOWN_LENGTH and method in EXPECT_CONTENT:
        # > A user agent SHOULD send Content-Length in a request when the method defines a meaning
        # > for enclosed content and it is not sending Transfer-Encoding.   (RFC 9110 8.6)
        fields.append(NO_CONTENT)
    # > SETTINGS_MAX_HEADER_LIST_SIZE: This advisory setting informs a peer of the maximum field
    # > section size that the sender is prepared to accept, in units of octets.   (RFC 9113 6.5.2)
    most = core._remote._max_header_list_size
    if most != MAX_U32 and send_fields.list_size(encoder, fields) > most:
        raise UsageError(
            f"the header list exceeds the {most} bytes that the peer accepts",
            stream=int(id),
            rule="RFC 9113 6.5.2",
        )
    stream = Stream(id, True, HEAD, BODY)
    stream.write_left = length
    stream.head = method == "HEAD"
    stream.connect = tunnel
    stream.authority = authority
    core._last_local = id
    flags: i64 = CNO_FLAG_END_STREAM if final else 0
    frame_writer.field_block(core, CNO_FRAME_HEADERS, flags, id, b"", 0, fields)
    core._h2.free_updates += 2
    if final:
        stream.write = DONE
    start(core, stream, True)


def _check_new_request(core: Core, id: i64) -> None:
    """Raise unless a request may be sent with this id now."""
    if id <= core._last_local:
        raise InvalidStreamError(
            f"stream {id} has been used", stream=int(id), rule="RFC 9113 5.1.1"
        )
    if id & 1 == 0 or id > MAX_STREAM_ID:
        raise InvalidStreamError(
            f"a client cannot open stream {id}", stream=int(id), rule="RFC 9113 5.1.1"
        )
    if core._draining or core._h2.goaway_received <= MAX_STREAM_ID:
        # > Receivers of a GOAWAY frame MUST NOT open additional streams on the connection.  (6.8)
        raise DisconnectError("the connection takes no new requests", stream=int(id))
    # > Endpoints MUST NOT exceed the limit set by their peer.   (RFC 9113 5.1.2)
    if core._count_local >= core._remote._max_concurrent_streams:
        raise WouldBlockError(
            "the peer allows no more streams", stream=int(id), rule="RFC 9113 5.1.2"
        )


def _write_response(
    core: Core, id: i64, code: int, headers: list[tuple[str, str]], final: bool
) -> None:
    stream = _writable(core, id)
    if stream.write != HEAD:
        raise UsageError("the response has begun already", stream=int(id), rule="RFC 9113 8.1")
    if code < 100 or code > 999:
        raise UsageError(f"{code} is no status code", stream=int(id), rule="RFC 9110 15")
    if code == 101:
        # > HTTP/2 removes support for the 101 (Switching Protocols) informational status code
        raise UsageError("HTTP/2 has no status code 101", stream=int(id), rule="RFC 9113 8.6")
    size = core._body_size
    core._body_size = UNKNOWN_LENGTH
    interim = code < 200
    if interim and final:
        raise UsageError("a 1xx response cannot be the last", stream=int(id), rule="RFC 9113 8.1")
    fields = send_fields.clean(core._h2.encoder, headers, False)
    length = send_fields.length_of(fields)
    bodiless = stream.head or code == 204 or code == 304
    tunnel = stream.connect and 200 <= code < 300
    if length != UNKNOWN_LENGTH and (interim or code == 204 or tunnel):
        # > A server MUST NOT send a Content-Length header field in any response with a status code
        # > of 1xx (Informational) or 204 (No Content).   (RFC 9110 8.6; nor in 2xx to CONNECT)
        fields = send_fields.without_length(fields)
        length = UNKNOWN_LENGTH
    if final and length > 0 and not bodiless and not tunnel:
        raise UsageError("content-length without content", stream=int(id), rule="RFC 9110 8.6")
    if not stream.counted:
        _open_pushed(core, stream)
    flags: i64 = CNO_FLAG_END_STREAM if final else 0
    if interim:
        frame_writer.field_block(core, CNO_FRAME_HEADERS, flags, id, b"", code, fields)
        return
    added: i64 = UNKNOWN_LENGTH
    if size != UNKNOWN_LENGTH and length == UNKNOWN_LENGTH and code != 204 and code != 304:
        # > A server MAY send a Content-Length header field in a response to a HEAD request; a
        # > server MUST NOT send Content-Length in such a response unless its field value equals
        # > [what a GET would have got].   (RFC 9110 8.6; that cannot be known without content)
        if not tunnel and (size > 0 or not stream.head):
            added = length = size
    frame_writer.field_block(
        core, CNO_FRAME_HEADERS, flags, id, b"", code, fields, date_of(core, fields), added
    )
    stream.body_suppressed = bodiless and not tunnel
    stream.write_left = UNKNOWN_LENGTH if tunnel else length
    stream.write = TUNNEL if tunnel else BODY
    if tunnel and stream.read == BODY:
        stream.read = TUNNEL
        stream.read_left = UNKNOWN_LENGTH
    if final:
        end_write(core, stream)


def date_of(core: Core, fields: list[object]) -> Stamp | None:
    """Return the Date that a response with these fields still needs."""
    # > An origin server with a clock MUST generate a Date header field in all 2xx (Successful), 3xx
    # > (Redirection), and 4xx (Client Error) responses, and MAY generate a Date header field in 1xx
    # > (Informational) and 5xx (Server Error) responses.   (RFC 9110 6.6.1)
    if core._dates is None or send_fields.has_date(fields):
        return None
    return core._dates.now()


def _open_pushed(core: Core, stream: Stream) -> None:
    """Count a reserved stream, whose response begins (RFC 9113 5.1.2)."""
    if core._count_local >= core._remote._max_concurrent_streams:
        raise WouldBlockError(
            "the peer allows no more streams",
            stream=int(stream.id),
            rule="RFC 9113 5.1.2",
        )
    count(core, stream)


def _writable(core: Core, id: i64) -> Stream:
    """Return the stream with this id. Raises unless our message on it is incomplete."""
    stream = lookup(core, id)
    if stream is None or stream.write == DONE:
        raise InvalidStreamError(f"stream {id} is not open for writing", stream=int(id))
    return stream


def write_push(core: Core, id: i64, method: str, path: str, headers: list[tuple[str, str]]) -> None:
    """Promise to answer a request that the client has not made, if it accepts pushes."""
    parent = lookup(core, id)
    # > PUSH_PROMISE frames MUST only be sent on a peer-initiated stream that is in either the
    # > "open" or "half-closed (remote)" state.   (RFC 9113 6.6)
    if parent is None or parent.write == DONE or parent.local:
        return
    h2 = core._h2
    promised = core._last_local + 2 if core._last_local else 2
    if (
        core._remote._enable_push == 0
        or core._draining
        or h2.goaway_received < promised
        or promised > MAX_STREAM_ID
    ):
        return
    if method not in ("GET", "HEAD"):
        # > Promised requests MUST be safe, MUST be cacheable, and MUST NOT indicate the presence
        # > of request content.   (RFC 9113 8.4)
        raise UsageError(f"{method!r} cannot be pushed", stream=int(id), rule="RFC 9113 8.4")
    fields, authority, _ = send_fields.request(h2.encoder, core.scheme, method, path, headers)
    if send_fields.length_of(fields) > 0:
        raise UsageError("a push with content", stream=int(id), rule="RFC 9113 8.4")
    stream = Stream(promised, True, DONE, HEAD)
    stream.head = method == "HEAD"
    core._last_local = promised
    prefix = int(promised).to_bytes(4, "big")
    frame_writer.field_block(core, CNO_FRAME_PUSH_PROMISE, 0, id, prefix, 0, fields)
    start(core, stream, False)
    if core._wants & ON_MESSAGE_HEAD and not stream.ended:
        shown = [(":scheme", core.scheme), (":authority", authority)]
        for name, value in headers:
            if not name.startswith(":") and name.lower() != "host":
                shown.append((name.lower(), value))
            elif name == ":scheme":
                shown[0] = (name, value)
        core.on_message_head(promised, 0, method, path or "/", shown)
    if core._wants & ON_MESSAGE_TAIL and not stream.ended:
        core.on_message_tail(promised, None)


def write_data(core: Core, id: i64, data: bytes, final: bool) -> i64:
    """Write as much data as the windows allow. Return how much."""
    stream = _writable(core, id)
    if stream.write == HEAD:
        raise UsageError("data before the head", stream=int(id))
    size: i64 = len(data)
    if stream.body_suppressed:
        if final:
            frame_writer.data(core, id, b"", 0, 0, CNO_FLAG_END_STREAM)
            end_write(core, stream)
        return size
    h2 = core._h2
    taken = flow.sendable(core, stream, size)
    if taken < size and taken < h2.min_sent:
        taken = flow.worth_sending(core, taken)
    last = final and taken == size
    left = stream.write_left
    if left != UNKNOWN_LENGTH and (size > left or (final and size < left)):
        # > A request or response that includes message content can include a content-length
        # > header field. A request or response is also malformed if the value ... does not equal
        # > the sum of the DATA frame payload lengths.   (RFC 9113 8.1.1)
        raise UsageError(
            f"{size} bytes of body, but content-length leaves {left}",
            stream=int(id),
            rule="RFC 9113 8.1.1",
        )
    if taken > 0 or last:
        h2.send_window -= taken
        if taken == size or taken >= SMALL_WINDOW:
            # Each frame pays for some WINDOW_UPDATEs and a PING, unless the peer's own window has
            # cut it.
            h2.free_updates += 10 + 10 * (taken >> 14)
            h2.glitches.refund(1)
        if h2.small_sent_left < SMALL_SENT:
            h2.small_sent_left += taken
        stream.send_window -= taken
        if left != UNKNOWN_LENGTH:
            stream.write_left = left - taken
        frame_writer.data(core, id, data, 0, taken, CNO_FLAG_END_STREAM if last else 0)
    if last:
        end_write(core, stream)
    return taken


def write_tail(core: Core, id: i64, trailers: list[tuple[str, str]]) -> None:
    """Write trailers, which end the message."""
    stream = _writable(core, id)
    if stream.write != BODY:
        raise UsageError("trailers come after a body", stream=int(id), rule="RFC 9113 8.1")
    if stream.write_left > 0 and not stream.body_suppressed:
        raise UsageError(
            f"content-length leaves {stream.write_left} bytes",
            stream=int(id),
            rule="RFC 9113 8.1.1",
        )
    fields = send_fields.clean(core._h2.encoder, trailers, True)
    if fields:
        frame_writer.field_block(core, CNO_FRAME_HEADERS, CNO_FLAG_END_STREAM, id, b"", 0, fields)
    else:
        frame_writer.data(core, id, b"", 0, 0, CNO_FLAG_END_STREAM)
    end_write(core, stream)


def write_reset(core: Core, id: i64, code: i64) -> None:
    """Write RST_STREAM, unless the stream has ended."""
    stream = lookup(core, id)
    if stream is None:
        last = core._last_local if (id & 1 == 0) == core._server else core._last_remote
        if id > last:
            raise InvalidStreamError(f"stream {id} has not been opened", stream=int(id))
        return
    reset(core, stream, code)


def reset(core: Core, stream: Stream, code: i64) -> None:
    """End a stream from our side."""
    remember_reset(core._h2, stream.id)
    if stream.read != DONE:
        expect_late(core._h2, core._local._initial_window_size + stream.recv_window)
    frame_writer.rst_stream(core, stream.id, code)
    end(core, stream, code, CNO_LOCAL)


def refuse_rest(core: Core, stream: Stream, code: i64, why: Reason) -> None:
    """End a stream for a policy of ours, which the peer cannot know."""
    core._end_reason = why
    try:
        reset(core, stream, code)
    finally:
        if core._state != CLOSED:
            core._end_reason = None


def write_ping(core: Core, data: bytes) -> None:
    """Write PING; on_pong reports the response."""
    if len(data) != 8:
        raise UsageError("a PING has exactly 8 bytes", rule="RFC 9113 6.7")
    core._h2.pings += 1
    frame_writer.ping(core, data, False)


def probe(core: Core) -> None:
    """Write a PING that the application does not see; `Http2.probing` until the response."""
    core._h2.probing = True
    frame_writer.ping(core, PROBE_PING, False)


def write_frame(core: Core, type: int, flags: int, id: int, payload: bytes) -> None:
    """Write a frame of a type that RFC 9113 does not define."""
    if type < CNO_FRAME_UNKNOWN or type > 0xFF:
        raise UsageError(f"{type} is no extension frame type", rule="RFC 9113 5.5")
    if flags < 0 or flags > 0xFF:
        raise UsageError(f"{flags} are no flags", rule="RFC 9113 4.1")
    send_fields.check_id(id)
    if len(payload) > core._remote._max_frame_size:
        raise UsageError("frame larger than the peer accepts", rule="RFC 9113 4.2")
    frame_writer.write_frame(core, type, flags, id, payload)


def shutdown(core: Core) -> None:
    """Announce that no more streams are accepted: a server in two steps, a client at once.

    Until the second step, streams that the client opened before it learnt of the first are
    accepted.
    """
    # > A server that is attempting to gracefully shut down a connection SHOULD send an initial
    # > GOAWAY frame with the last stream identifier set to 2^31-1 and a NO_ERROR code. ... After
    # > allowing time for any in-flight stream creation (at least one round-trip time), the server
    # > MAY send another GOAWAY frame with an updated last stream identifier.   (RFC 9113 6.8)
    h2 = core._h2
    if not core._server:
        if h2.goaway_sent < 0:
            core._draining = True
            final_goaway(core)
        return
    if h2.goaway_ping:
        final_goaway(core)
    elif not core._draining:
        core._draining = True
        h2.goaway_ping = True
        frame_writer.goaway(core, MAX_STREAM_ID, CNO_RST_NO_ERROR, "")
        frame_writer.ping(core, SHUTDOWN_PING, False)


def final_goaway(core: Core) -> None:
    """Announce the last stream of the peer that will be handled."""
    h2 = core._h2
    h2.goaway_ping = False
    h2.goaway_sent = core._last_remote
    frame_writer.goaway(core, h2.goaway_sent, CNO_RST_NO_ERROR, "")


def drained(core: Core) -> bool:
    """Whether a connection that accepts no new streams has nothing left to do."""
    h2 = core._h2
    if core._streams or h2.goaway_ping:
        return False
    if core._draining:
        return True
    return not core._server and h2.goaway_received <= MAX_STREAM_ID


def refuse(core: Core, id: i64, status: i64, ended: bool) -> None:
    """Answer a request that the application does not see."""
    flags: i64 = CNO_FLAG_END_STREAM
    fields: list[object] = [NO_CONTENT]
    date = date_of(core, fields)
    frame_writer.field_block(core, CNO_FRAME_HEADERS, flags, id, b"", status, fields, date)
    if not ended:
        remember_reset(core._h2, id)
        expect_late(core._h2, core._local._initial_window_size)
        frame_writer.rst_stream(core, id, CNO_RST_NO_ERROR)
