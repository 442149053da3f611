"""Handles field blocks: decodes them, then makes a request, response, trailers or a promise.

Every block is decoded, whatever happens to its message, so that the next block can be decoded.
"""

from typing import Final

from mypy_extensions import i64

from cno.const import (
    CNO_FLAG_END_STREAM,
    CNO_RST_CANCEL,
    CNO_RST_COMPRESSION_ERROR,
    CNO_RST_ENHANCE_YOUR_CALM,
    CNO_RST_PROTOCOL_ERROR,
    CNO_RST_REFUSED_STREAM,
)
from cno.core import (
    BODY,
    DONE,
    HEAD,
    ON_MESSAGE_HEAD,
    ON_MESSAGE_PUSH,
    ON_MESSAGE_TAIL,
    TUNNEL,
    UNKNOWN_LENGTH,
    Core,
    Stream,
)
from cno.errors import ConnectionFault, Reason, StreamFault
from cno.h2 import frame_writer, message, send
from cno.h2.message import Malformed, Message
from cno.h2.state import expect_late, remember_reset, remember_skipped, was_skipped
from cno.h2.stream_rules import (
    OBSERVED,
    beyond_goaway,
    charge_error,
    find,
    glitch,
    is_idle,
    observe,
    reply,
    was_reset,
)
from cno.hpack import Block, HPACKError
from cno.streams import count, end_read, interim, lookup, start

#: A bit for the flags of a HEADERS frame, beyond those of the wire: its stream depends on itself.
DEPENDS_ON_ITSELF: Final = 0x100


def depends_on_itself(id: i64) -> StreamFault:
    # > A stream cannot depend on itself. An endpoint MUST treat this as a stream error
    # > (Section 5.4.2) of type PROTOCOL_ERROR.   (RFC 7540 5.3.1, obsolete but still tested for)
    return StreamFault(
        id, CNO_RST_PROTOCOL_ERROR, f"stream {id} depends on itself", "RFC 7540 5.3.1"
    )


#: Largest ratio of a header list to its block for an honest list that is too large. Usual lists
#: have a ratio of four, most of it from the tables.
AMPLIFIED: Final = 8


def block(
    core: Core, flags: i64, id: i64, promised: i64, data: bytes, first: i64, last: i64
) -> None:
    """Decode the block data[first:last] and handle its fields."""
    decoder = core._h2.decoder
    # > A decoding error in a field block MUST be treated as a connection error (Section 5.4.1) of
    # > type COMPRESSION_ERROR.   (RFC 9113 4.3)
    try:
        fields = decoder.decode_fields(data, first, last)
    except HPACKError as broken:
        raise ConnectionFault(CNO_RST_COMPRESSION_ERROR, str(broken), "RFC 9113 4.3") from None
    if decoder.list_size > 4 * decoder.max_list_size:
        raise ConnectionFault(
            CNO_RST_ENHANCE_YOUR_CALM,
            "header list far too large",
            "RFC 9113 10.5.1",
            "max_header_list_size",
        )
    ended = (flags & CNO_FLAG_END_STREAM) != 0
    too_large = decoder.too_large
    if flags & DEPENDS_ON_ITSELF:
        _check_dependency(core, id)
    if promised != 0:
        _promise(core, id, promised, fields, too_large)
        return
    if core._server and _is_new(core, id):
        _new_request(core, id, fields, ended, too_large, last - first)
        return
    stream = find(core, id, "HEADERS")
    if stream is None:
        return
    if too_large or not (stream.local or _keep(core, stream)):
        limit = "max_header_bytes_per_connection"
        if too_large:
            large = decoder.list_size > decoder.max_list_size
            limit = "max_header_list_size" if large else "max_header_fields"
        _charge_list(core, last - first)
        reply(core)
        why = Reason("header list too large", "RFC 9113 10.5.1", limit)
        send.refuse_rest(core, stream, CNO_RST_ENHANCE_YOUR_CALM, why)
        return
    try:
        if stream.read == HEAD:
            _response(core, stream, fields, ended)
        else:
            _trailers(core, stream, fields, ended)
    except Malformed as error:
        raise _stream_fault(id, error) from None


def _check_dependency(core: Core, id: i64) -> None:
    """Raise for a stream that depends on itself. A new stream counts as opened."""
    if core._server and _is_new(core, id):
        if beyond_goaway(core, id):
            return
        remember_skipped(core._h2, core._last_remote, id)
        core._last_remote = id
    elif lookup(core, id) is None:
        return  # closed: `find` decides
    raise depends_on_itself(id)


def _keep(core: Core, stream: Stream) -> bool:
    """Count the list just decoded for a stream of the peer. Return False if there is no room."""
    h2 = core._h2
    size = h2.decoder.list_size
    if h2.header_bytes + size > h2.header_most:
        return False
    h2.header_bytes += size
    stream.header_size += size
    return True


def _stream_fault(id: i64, error: Malformed) -> StreamFault:
    # > Malformed requests or responses that are detected MUST be treated as a stream error
    # > (Section 5.4.2) of type PROTOCOL_ERROR.   (RFC 9113 8.1.1)
    return StreamFault(id, CNO_RST_PROTOCOL_ERROR, error.text, error.rule)


def complete(core: Core, stream: Stream, trailers: list[tuple[str, str]] | None) -> None:
    """End the peer's message."""
    # > A request or response is also malformed if the value of a Content-Length header field does
    # > not equal the sum of the DATA frame payload lengths that form the content.   (8.1.1)
    if stream.read_left > 0:
        raise StreamFault(
            stream.id,
            CNO_RST_PROTOCOL_ERROR,
            "less DATA than content-length says",
            "RFC 9113 8.1.1",
        )
    stream.read = DONE
    h2 = core._h2
    h2.glitches.refund(8)
    h2.empty.left = h2.empty.size
    try:
        if core._wants & ON_MESSAGE_TAIL:
            core.on_message_tail(stream.id, trailers)
    finally:
        if not stream.ended:
            end_read(core, stream)


# -- requests, at the server ----------------------------------------------------------------------


def _is_new(core: Core, id: i64) -> bool:
    """Whether HEADERS with this id open a stream."""
    # > Streams initiated by a client MUST use odd-numbered stream identifiers ... The identifier of
    # > a newly established stream MUST be numerically greater than all streams that the initiating
    # > endpoint has opened or reserved. ... An endpoint that receives an unexpected stream
    # > identifier MUST respond with a connection error of type PROTOCOL_ERROR.   (RFC 9113 5.1.1)
    if id & 1 == 0:
        if id in core._streams or not is_idle(core, id):
            return False
        raise ConnectionFault(
            CNO_RST_PROTOCOL_ERROR, f"client opens even stream {id}", "RFC 9113 5.1.1"
        )
    if id > core._last_remote:
        return True
    if core._h2.skipped and id not in core._streams and was_skipped(core._h2, id):
        raise ConnectionFault(
            CNO_RST_PROTOCOL_ERROR, f"client goes back to stream {id}", "RFC 9113 5.1.1"
        )
    return False


def _new_request(
    core: Core, id: i64, fields: Block, ended: bool, too_large: bool, size: i64
) -> None:
    h2 = core._h2
    if beyond_goaway(core, id):
        glitch(core, 1)
        return
    remember_skipped(h2, core._last_remote, id)
    core._last_remote = id
    # > An endpoint that receives a HEADERS frame that causes its advertised concurrent stream limit
    # > to be exceeded MUST treat this as a stream error of type PROTOCOL_ERROR or REFUSED_STREAM.
    # > (RFC 9113 5.1.2)
    if core._count_remote >= core._max_streams:
        if h2.early_left > 0:
            _refuse_early(core, id, ended)
            return
        raise StreamFault(
            id,
            CNO_RST_REFUSED_STREAM,
            "too many streams",
            "RFC 9113 5.1.2",
            "max_concurrent_streams",
        )
    if too_large:
        # > A server that receives a larger field block than it is willing to handle can send an
        # > HTTP 431 (Request Header Fields Too Large) status code.   (RFC 9113 10.5.1)
        _charge_list(core, size)
        reply(core)
        send.refuse(core, id, 431, ended)
        return
    try:
        request = message.request(fields)
    except Malformed as error:
        raise _stream_fault(id, error) from None
    if request.protocol and core._local._enable_connect_protocol == 0:
        raise StreamFault(
            id, CNO_RST_PROTOCOL_ERROR, ":protocol without ENABLE_CONNECT_PROTOCOL", "RFC 8441 3"
        )
    if ended and request.length > 0:
        raise StreamFault(
            id, CNO_RST_PROTOCOL_ERROR, "content-length without content", "RFC 9113 8.1.1"
        )
    most = core._limits.max_body_size
    if most is not None and request.length > most:
        glitch(core, 1)
        reply(core)
        send.refuse(core, id, 413, ended)
        return
    stream = Stream(id, False, BODY, HEAD)
    if not _keep(core, stream):
        # The peer cannot know this bound on the sum: it only knows the one for each list.
        _charge_list(core, size)
        _refuse(core, id, ended)
        return
    deliver_request(core, stream, request, ended)


def _charge_list(core: Core, size: i64) -> None:
    """Charge a message whose header list, of `size` bytes on the wire, has no room."""
    if core._h2.decoder.list_size > AMPLIFIED * size:
        charge_error(core)
    else:
        glitch(core, 1)


def _refuse_early(core: Core, id: i64, ended: bool) -> None:
    """Refuse a stream beyond our limit to a client that may not know the limit yet."""
    # > The initial value of [SETTINGS_MAX_CONCURRENT_STREAMS] has no limit.   (RFC 9113 6.5.2, and
    # > 6.5.3: values take effect when they are acknowledged)
    h2 = core._h2
    h2.early_left -= 1
    h2.early_last = id
    _refuse(core, id, ended)


def _refuse(core: Core, id: i64, ended: bool) -> None:
    """Refuse a stream that the application has not seen, without charge."""
    reply(core)
    remember_reset(core._h2, id)
    if not ended:
        expect_late(core._h2, core._h2.acked._initial_window_size)
    frame_writer.rst_stream(core, id, CNO_RST_REFUSED_STREAM)


def deliver_request(core: Core, stream: Stream, request: Message, ended: bool) -> None:
    """Start the stream of a valid request, deliver its head, and its end if it has come."""
    h2 = core._h2
    id = stream.id
    if core._clock is not None and id - h2.young_last >= OBSERVED:
        observe(h2, id, core._clock())
    stream.head = request.method == "HEAD"
    stream.connect = request.method == "CONNECT"
    # RFC 8441 5, RFC 9113 8.5: a tunnel has no message framing.
    stream.read_left = UNKNOWN_LENGTH if stream.connect else request.length
    h2.delivered = id
    h2.free_updates += 2
    h2.requests_left -= 1
    if h2.requests_left == 0 and not core._draining:
        send.shutdown(core)
    # Whatever an event raises, the later events are fired: a stream must not stay half-open.
    try:
        try:
            start(core, stream)
        finally:
            if core._wants & ON_MESSAGE_HEAD and not stream.ended:
                core.on_message_head(id, 0, request.method, request.path, request.headers)
    finally:
        if ended and stream.read != DONE:
            complete(core, stream, None)


# -- responses and promises, at the client --------------------------------------------------------


def _response(core: Core, stream: Stream, fields: Block, ended: bool) -> None:
    answer = message.response(fields)
    code = answer.code
    if not stream.local and not stream.counted:
        # > The "reserved" states do not count; "half-closed" ones do.   (RFC 9113 5.1.2)
        if core._count_remote >= core._max_streams:
            raise StreamFault(
                stream.id, CNO_RST_REFUSED_STREAM, "too many streams", "RFC 9113 5.1.2"
            )
        count(core, stream)
    if code < 200:
        # > A HEADERS frame with the END_STREAM flag set that carries an informational status code
        # > is malformed.   (RFC 9113 8.1)
        if ended:
            raise Malformed("1xx response with END_STREAM", "RFC 9113 8.1")
        if not interim(core, stream):
            raise StreamFault(
                stream.id,
                CNO_RST_ENHANCE_YOUR_CALM,
                "too many 1xx responses",
                "RFC 9110 15.2",
                "max_informational",
            )
    elif stream.connect and code < 300:
        stream.read = TUNNEL
        if stream.write == BODY:
            stream.write = TUNNEL
    else:
        stream.read = BODY
        # > a response to HEAD, 204 or 304 has no content, whatever content-length says.  (8.1.1)
        if stream.head or code == 204 or code == 304:
            stream.read_left = 0
        else:
            stream.read_left = answer.length
            if ended and answer.length > 0:
                raise Malformed("content-length without content", "RFC 9113 8.1.1")
    try:
        if core._wants & ON_MESSAGE_HEAD:
            core.on_message_head(stream.id, code, "", "", answer.headers)
    finally:
        if ended and stream.read != DONE:
            complete(core, stream, None)


def _trailers(core: Core, stream: Stream, fields: Block, ended: bool) -> None:
    # > Trailers ... A HEADERS frame without the END_STREAM flag set after receiving the HEADERS
    # > frame that opens a request or after receiving a final (non-informational) status code: the
    # > message is malformed.   (RFC 9113 8.1)
    if not ended:
        raise Malformed("second header block without END_STREAM", "RFC 9113 8.1")
    if stream.read == TUNNEL:
        raise Malformed("trailers in a tunnel", "RFC 9113 8.5")
    complete(core, stream, message.trailers(fields, not core._server))


def _promise(core: Core, id: i64, promised: i64, fields: Block, too_large: bool) -> None:
    parent = lookup(core, id)
    if parent is None or parent.read == DONE:
        # > a PUSH_PROMISE frame on a stream we have reset: the promised stream is there all the
        # > same, and wants a RST_STREAM of its own.   (RFC 9113 5.1, 6.6)
        if was_reset(core, id):
            _reject(core, promised, CNO_RST_CANCEL)
            return
        raise ConnectionFault(
            CNO_RST_PROTOCOL_ERROR, "PUSH_PROMISE on a closed stream", "RFC 9113 6.6"
        )
    most = core._limits.max_pushes
    # A client's streams that are not its own are pushes.
    if most is not None and len(core._streams) - core._count_local >= most:
        _reject(core, promised, CNO_RST_REFUSED_STREAM)
        return
    if core._draining:
        _reject(core, promised, CNO_RST_CANCEL)
        return
    if too_large:
        _reject(core, promised, CNO_RST_ENHANCE_YOUR_CALM)
        return
    stream = Stream(promised, False, HEAD, DONE)
    try:
        request = message.request(fields)
        _check_promise(parent, request)
    except Malformed:
        charge_error(core)
        _reject(core, promised, CNO_RST_PROTOCOL_ERROR)
        return
    if not _keep(core, stream):
        _reject(core, promised, CNO_RST_REFUSED_STREAM)
        return
    stream.head = request.method == "HEAD"
    core._h2.delivered = promised
    start(core, stream, False)
    if core._wants & ON_MESSAGE_PUSH and not stream.ended:
        core.on_message_push(promised, id, request.method, request.path, request.headers)


def _check_promise(parent: Stream, request: Message) -> None:
    """Raise Malformed unless this request may be pushed."""
    # > Promised requests MUST be safe (see Section 9.2.1 of [HTTP]), MUST be cacheable ... and
    # > MUST NOT indicate the presence of request content. ... The server MUST include a value in
    # > the ":authority" pseudo-header field for which the server is authoritative.  (RFC 9113 8.4)
    if request.method != "GET" and request.method != "HEAD":
        raise Malformed("push of an unsafe method", "RFC 9113 8.4")
    if request.length > 0:
        raise Malformed("push with content", "RFC 9113 8.4")
    if request.authority.lower() != parent.authority.lower():
        raise Malformed("push for another authority", "RFC 9113 8.4")


def _reject(core: Core, promised: i64, code: i64) -> None:
    """Refuse a promised stream that the application has not seen."""
    glitch(core, 1)
    reply(core)
    remember_reset(core._h2, promised)
    frame_writer.rst_stream(core, promised, code)
