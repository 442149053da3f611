"""HTTP/1.1, what comes in: heads, bodies, tunnels (RFC 9112 sections 2 to 9).

One function for each state of the connection. Input is taken, and the state that follows is set,
before an event is fired: an event may write, reset, close, or raise, and what it leaves is sound.
"""

from typing import cast

from mypy_extensions import i64

from cno import streams
from cno.const import CNO_LOCAL, CNO_RST_PROTOCOL_ERROR
from cno.core import (
    BODY,
    CLOSED,
    DONE,
    H1_BLOCKED,
    H1_BODY,
    H1_CHUNKED,
    H1_DETECT,
    H1_HEAD,
    H1_IGNORE,
    H1_TUNNEL,
    H2_PREFACE,
    H2_SETTINGS,
    HEAD,
    ON_MESSAGE_DATA,
    ON_MESSAGE_HEAD,
    ON_MESSAGE_TAIL,
    ON_UPGRADE,
    TUNNEL,
    UNKNOWN_LENGTH,
    WAIT,
    Core,
    Stream,
)
from cno.errors import ConnectionFault, WouldBlockError
from cno.h1 import body, parse, target, turns, upgrade
from cno.h1.parse import Bounds, Head
from cno.h1.state import DATA, DATA_CR, DATA_LF, SIZE, TRAILERS, Http1
from cno.headers import is_authority

#: Empty lines before a request that are ignored.
_MAX_BLANK = 16
#: Input up to this size is decoded whole to find fields in, without looking for their end first.
_DECODE_WHOLE = 1024
#: A field section up to this size is remembered.
_MAX_SECTION = 2048
#: Input behind an undecided upgrade: beyond, the caller is told to stop reading.
_MAX_BLOCKED = 65_536


def step(core: Core, state: i64) -> i64:
    """Handle one state; returns the next one, or WAIT.

    Raises ConnectionFault for the peer's mistakes (with the status to answer, 0 at a client), unless
    their answer must wait for its turn. Raises WouldBlockError when too many requests wait.
    """
    core._h1.in_line = False
    try:
        if state == H1_HEAD:
            return _head(core)
        if state == H1_BODY:
            return _body(core)
        if state == H1_CHUNKED:
            return _chunked(core)
        if state == H1_BLOCKED:
            return _blocked(core)
        if state == H1_TUNNEL:
            return _tunnel(core)
        core._pos = len(core._in)
        return WAIT
    except ConnectionFault as fault:
        if not core._server:
            raise ConnectionFault(0, fault.text, fault.rule) from None
        if not _defer(core, fault):
            raise
        return core._state


def _defer(core: Core, fault: ConnectionFault) -> bool:
    """Keep a fault for later if earlier requests must be answered first."""
    h1 = core._h1
    first = core._streams.get(h1.turn)
    if first is None or h1.turn == h1.reading:
        return False
    h1.fault = fault.code
    h1.stop = True
    h1.head = None
    core._state = H1_IGNORE
    stream = core._streams.get(h1.reading)
    if stream is not None:
        streams.end(core, stream, CNO_RST_PROTOCOL_ERROR, CNO_LOCAL)
    return True


def worth(core: Core, data: bytes) -> bool:
    """Whether parsing again makes sense, now that `data` follows what was kept.

    Sees every octet once: a line that comes octet by octet is parsed when its end is there, or
    when it has become too long.
    """
    h1 = core._h1
    if core._state == H1_BLOCKED:
        return h1.asking == 0 or len(core._kept) + len(data) > _MAX_BLOCKED
    if not h1.in_line or b"\n" in data:
        return True
    h1.room -= len(data)
    return h1.room < 0


# -- heads ----------------------------------------------------------------------------------------


def _head(core: Core) -> i64:
    h1 = core._h1
    if h1.stop and core._server:
        return H1_IGNORE
    if core._pos == len(core._in):
        return WAIT
    if h1.head is None:
        if not h1.ready:
            h1.configure(core._limits)
        if core._server:
            if not _skip_blank(core):
                return WAIT
            if len(core._streams) >= h1.max_pipelined:
                raise WouldBlockError(f"{len(core._streams)} requests wait for their answers")
        elif core._streams.get(h1.turn) is None:
            # > If a client receives data on a connection that doesn't have outstanding requests, the
            # > client MUST NOT consider that data to be a valid response   (RFC 9112 9.2)
            raise ConnectionFault(0, "data without a request", "RFC 9112 9.2")
    head = _take_head(core, h1)
    if head is None:
        return WAIT
    h1.blank = 0
    if core._server:
        return _request(core, h1, head)
    return _response(core, h1, head)


def _skip_blank(core: Core) -> bool:
    """Skip empty lines before a request; False if nothing follows yet."""
    # > In the interest of robustness, a server that is expecting to receive and parse a request-line
    # > SHOULD ignore at least one empty line (CRLF) received prior to the request-line.
    # > (RFC 9112 2.2)
    data = core._in
    end: i64 = len(data)
    i = core._pos
    while i + 1 < end and data[i] == parse.CR and data[i + 1] == parse.LF:
        i += 2
        core._h1.blank += 1
        if core._h1.blank > _MAX_BLANK:
            raise parse.malformed("too many empty lines", "RFC 9112 2.2")
    core._pos = i
    return i < end and (data[i] != parse.CR or i + 1 < end)


def _take_head(core: Core, h1: Http1) -> Head | None:
    """Take the lines of a head, as many as are whole; returns it once that is all of them."""
    head = h1.head
    if head is None:
        head = h1.spare
        if head is None:
            head = Head(core._server, False)
        h1.head = head
    data = core._in
    start = core._pos
    whole = not head.begun
    if whole:
        end: i64 = len(data)
        if core._server:
            pos = parse.request_line(head, data, start, end, h1.bounds)
        else:
            pos = parse.status_line(head, data, start, end, h1.bounds)
        if pos == parse.INCOMPLETE:
            h1.in_line = True
            h1.room = parse.room(head, h1.bounds, end - start)
            return None
        core._pos = start = pos
        if h1.section_head is not None:
            size: i64 = len(h1.section)
            if end - pos >= size and data[pos : pos + size] == h1.section:
                return _same_section(core, h1, head, h1.section_head)
        head.begun = True
    h1.spare = None
    if not _take_fields(core, h1, head, h1.bounds):
        return None
    h1.head = None
    if whole and core._pos - start <= _MAX_SECTION:
        h1.section = data[start : core._pos]
        h1.section_head = head
    return head


def _same_section(core: Core, h1: Http1, head: Head, same: Head) -> Head:
    """This head has the very same fields as the one before, as is common on one connection."""
    core._pos += len(h1.section)
    h1.head = None
    h1.spare = head
    same.method = head.method
    same.target = head.target
    same.code = head.code
    same.minor = head.minor
    return same


def _take_fields(core: Core, h1: Http1, head: Head, bounds: Bounds) -> bool:
    """Take whole lines of a field or trailer section; whether that was all of it."""
    data = core._in
    pos = core._pos
    end: i64 = len(data)
    if end - pos > _DECODE_WHOLE:
        # Don't decode what is behind the section.
        empty: i64 = data.find(b"\r\n\r\n", pos)
        if empty >= 0:
            end = empty + 4
    pos = parse.field_lines(head, data, pos, end, bounds)
    core._pos = pos
    if head.complete:
        return True
    h1.in_line = True
    h1.room = parse.room(head, bounds, end - pos)
    return False


def _request(core: Core, h1: Http1, head: Head) -> i64:
    """A request's head is complete: begin its stream."""
    method = head.method
    path = head.target
    connect = method == "CONNECT"
    old = head.minor == 0
    if head.host is None and not old:
        # > A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message
        # > that lacks a Host header field   (RFC 9112 3.2)
        raise parse.malformed("no Host", "RFC 9112 3.2")
    if head.host is not None and head.host != h1.host:
        if not is_authority(head.host):
            raise parse.malformed("invalid Host", "RFC 9112 3.2")
        h1.host = head.host
        h1.host_pair = (":authority", head.host)
    if core.scheme != h1.scheme:
        h1.scheme = core.scheme
        h1.scheme_pair = (":scheme", core.scheme)
    fields: list[object] = [h1.scheme_pair]
    if head.host is not None:
        fields.append(h1.host_pair)
    if connect or not path.startswith("/"):
        path = _resolve(head, fields)
    if head.named is None and head.upgrade is None:
        fields.extend(head.fields)
    else:
        fields.extend(parse.end_to_end(head))
    chunked = _request_framing(h1, head, old)
    id = core._last_remote + 2 if core._last_remote != 0 else 1
    if id == 1 and head.length == 0 and not chunked:
        if upgrade.accept(core, head, path, fields) == H2_PREFACE:
            return H2_PREFACE
    stream = Stream(id, False, BODY, HEAD)
    stream.head = method == "HEAD"
    stream.connect = connect
    stream.read_left = UNKNOWN_LENGTH if chunked else head.length
    core._last_remote = id
    h1.current = stream
    _note_request(core, h1, head, stream)
    core._state = H1_BLOCKED if connect else H1_CHUNKED if chunked else H1_BODY
    streams.start(core, stream)
    if stream.read != DONE and core._wants & ON_MESSAGE_HEAD:
        core.on_message_head(id, 0, method, path, cast("list[tuple[str, str]]", fields))
    return core._state


def _resolve(head: Head, fields: list[object]) -> str:
    """Have the pseudo-headers say what the target of a request says; returns the path."""
    found = target.split(head.method, head.target)
    if found.authority is not None:
        fields[1:] = [(":authority", found.authority)]
    if found.scheme is not None:
        fields[0] = (":scheme", found.scheme)
    elif head.method == "CONNECT":
        del fields[0]
    return found.path


def _request_framing(h1: Http1, head: Head, old: bool) -> bool:
    """Whether the body of a request is chunked; if not, `head.length` is its length."""
    if head.codings is not None:
        # > A server or client that receives an HTTP/1.0 message containing a Transfer-Encoding header
        # > field MUST treat the message as if the framing is faulty   (RFC 9112 6.1)
        if old:
            raise parse.malformed("transfer-encoding in HTTP/1.0", "RFC 9112 6.1")
        # > A server MAY reject a request that contains both Content-Length and Transfer-Encoding
        if head.length != parse.NO_LENGTH:
            raise parse.malformed("content-length and transfer-encoding", "RFC 9112 6.1")
        # > If a Transfer-Encoding header field is present in a request and the chunked transfer
        # > coding is not the final encoding, the message body length cannot be determined reliably;
        # > the server MUST respond with the 400 (Bad Request) status code and then close the
        # > connection.   (RFC 9112 6.3)
        if not parse.is_chunked(head):
            raise parse.malformed("chunked is not the last transfer coding", "RFC 9112 6.3")
        if head.method == "CONNECT":
            raise parse.malformed("CONNECT with a body", "RFC 9110 9.3.6")
        return True
    if head.length > 0:
        if head.method == "CONNECT":
            raise parse.malformed("CONNECT with a body", "RFC 9110 9.3.6")
        _check_size(h1, head.length)
    else:
        # > If this is a request message and none of the above are true, then the message body length
        # > is zero (no message body is present).   (RFC 9112 6.3)
        head.length = 0
    return False


def _check_size(h1: Http1, size: i64) -> None:
    """Whether a body may have so many octets, in addition to those received."""
    if size > h1.max_body - h1.received:
        raise _too_large()


def _too_large() -> ConnectionFault:
    # > The 413 (Content Too Large) status code indicates that the server is refusing to process a
    # > request because the request content is larger than the server is willing or able to process.
    # > (RFC 9110 15.5.14)
    return ConnectionFault(413, "content too large", "RFC 9110 15.5.14")


def _note_request(core: Core, h1: Http1, head: Head, stream: Stream) -> None:
    """Remember what a request says about the connection and about its response."""
    old = head.minor == 0
    _begin_body(h1, stream)
    if old:
        h1.old.add(stream.id)
    # > If the "close" connection option is present, the connection will not persist after the
    # > current response; else, if the received protocol is HTTP/1.1 (or later), the connection will
    # > persist ... else, if the received protocol is HTTP/1.0, the "keep-alive" connection option is
    # > present, ... the connection will persist   (RFC 9112 9.3)
    if head.close or (old and not head.keep_alive):
        h1.last = stream.id
        h1.stop = True
    elif head.upgrade is not None and core._wants & ON_UPGRADE and upgrade.for_application(head):
        h1.asking = stream.id
        h1.asked = False
    if stream.connect:
        h1.asking = stream.id
    if head.expects and not old and stream.read_left != 0:
        h1.expecting = stream.id


def _begin_body(h1: Http1, stream: Stream) -> None:
    h1.reading = stream.id
    h1.phase = SIZE
    h1.ext = 0


def _response(core: Core, h1: Http1, head: Head) -> i64:
    """A response's head is complete."""
    stream = core._streams.get(h1.turn)
    if stream is None:
        return H1_IGNORE
    code = head.code
    h1.peer_old = head.minor == 0
    fields = parse.end_to_end(head)
    follow: i64 = H1_HEAD
    if code == 101:
        follow = _switched(h1, head, stream)
        if follow == H2_SETTINGS:
            return follow
    elif code < 200:
        stream.interim += 1
        if stream.interim > h1.max_informational:
            raise ConnectionFault(0, "too many informational responses", "RFC 9110 15.2")
    else:
        follow = _final_response(h1, head, stream)
    core._state = follow
    if core._wants & ON_MESSAGE_HEAD:
        core.on_message_head(
            stream.id, int(code), "", "", cast("list[tuple[str, str]]", fields)
        )
    if code == 101 and core._state == H1_TUNNEL and core._wants & ON_UPGRADE:
        core.on_upgrade(stream.id)
    return core._state


def _switched(h1: Http1, head: Head, stream: Stream) -> i64:
    """101: the state that follows."""
    # > A server MUST NOT switch to a protocol that was not indicated by the client in the
    # > corresponding request's Upgrade header field.   (RFC 9110 7.8)
    named = parse.protocols(head.upgrade or "")
    asked = h1.offered is not None and all(p in h1.offered for p in named)
    if h1.asking != stream.id or stream.connect or stream.write == BODY or not named or not asked:
        raise ConnectionFault(0, "101 that was not asked for", "RFC 9110 7.8")
    h1.asking = 0
    if h1.offered_h2c:
        return H2_SETTINGS
    _enter_tunnel(h1, stream)
    return H1_TUNNEL


def _enter_tunnel(h1: Http1, stream: Stream) -> None:
    h1.reading = stream.id
    h1.tunnel = stream.id
    h1.stop = True
    h1.sending = 0
    stream.read = TUNNEL
    stream.write = TUNNEL


def _final_response(h1: Http1, head: Head, stream: Stream) -> i64:
    """How the body of a response ends (RFC 9112 6.3): the state that follows."""
    if h1.asking == stream.id:
        h1.asking = 0
    if stream.connect:
        if head.code < 300:
            # > Any 2xx (Successful) response to a CONNECT request implies that the connection will
            # > become a tunnel immediately after the empty line that concludes the header fields. A
            # > client MUST ignore any Content-Length or Transfer-Encoding header fields received in
            # > such a message.   (RFC 9112 6.3)
            _enter_tunnel(h1, stream)
            return H1_TUNNEL
        if stream.write != DONE:
            stream.write = DONE
            h1.sending = 0
    old = head.minor == 0
    if head.codings is not None and (old or head.length != parse.NO_LENGTH):
        raise parse.malformed("faulty framing by transfer-encoding", "RFC 9112 6.1")
    _begin_body(h1, stream)
    stream.read = BODY
    closes = head.close or (old and not head.keep_alive)
    follow: i64 = H1_BODY
    if stream.head or head.code == 204 or head.code == 304:
        stream.read_left = 0
    elif head.codings is not None and parse.is_chunked(head):
        stream.read_left = UNKNOWN_LENGTH
        follow = H1_CHUNKED
    else:
        # Without a length, or with a coding that does not end in chunked: until the end of input.
        stream.read_left = head.length
        if head.length == parse.NO_LENGTH:
            closes = True
        else:
            _check_size(h1, head.length)
    if closes:
        h1.last = stream.id
        h1.stop = True
    return follow


# -- bodies ---------------------------------------------------------------------------------------


def _body(core: Core) -> i64:
    """A body of known length, or until the end of input."""
    h1 = core._h1
    stream = turns.find(core, h1.reading)
    if stream is None or stream.read == DONE:
        return H1_IGNORE
    left = stream.read_left
    if left == 0:
        return _complete(core, stream, None)
    n: i64 = len(core._in) - core._pos
    if n == 0:
        return WAIT
    if left != UNKNOWN_LENGTH:
        if n > left:
            n = left
        stream.read_left = left - n
    else:
        if n > h1.max_body - h1.received:
            n = h1.max_body - h1.received
            if n == 0:
                raise _too_large()
        h1.received += n
    _deliver(core, stream, n)
    return core._state


def _deliver(core: Core, stream: Stream, n: i64) -> None:
    """Pass the next n octets on."""
    start = core._pos
    core._pos = start + n
    if core._h1.expecting != 0:
        core._h1.expecting = 0
    if core._wants & ON_MESSAGE_DATA:
        core.on_message_data(stream.id, core._in[start : start + n])


def _chunked(core: Core) -> i64:
    h1 = core._h1
    stream = turns.find(core, h1.reading)
    if stream is None or stream.read == DONE:
        return H1_IGNORE
    phase = h1.phase
    if phase == TRAILERS:
        return _trailers(core, h1, stream)
    n: i64 = len(core._in) - core._pos
    if n == 0:
        return WAIT
    if phase == SIZE:
        return _chunk_size(core, h1)
    if phase == DATA:
        left = h1.chunk_left
        if n >= left:
            n = left
            h1.phase = DATA_CR
        h1.chunk_left = left - n
        _deliver(core, stream, n)
        return core._state
    # > chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF   (RFC 9112 7.1)
    if core._in[core._pos] != (parse.CR if phase == DATA_CR else parse.LF):
        raise parse.malformed("chunk data does not end with CRLF", "RFC 9112 7.1")
    core._pos += 1
    h1.phase = DATA_LF if phase == DATA_CR else SIZE
    return H1_CHUNKED


def _chunk_size(core: Core, h1: Http1) -> i64:
    data = core._in
    start = core._pos
    lf: i64 = data.find(b"\n", start)
    # Digits, extensions, CR: no more than fit the line and the extensions of a body.
    limit = h1.bounds.line
    if h1.max_ext - h1.ext + body.MAX_DIGITS < limit:
        limit = h1.max_ext - h1.ext + body.MAX_DIGITS
    size = (len(data) if lf < 0 else lf) - start - 1
    if size > limit:
        raise ConnectionFault(400, "chunk-size line too long", "RFC 9112 7.1.1")
    if lf < 0:
        h1.in_line = True
        h1.room = limit - size
        return WAIT
    left = body.size_line(data, start, lf)
    h1.ext += size - body.digits(data, start, lf)
    if h1.ext > h1.max_ext:
        # > A server ought to limit the total length of chunk extensions received in a request to an
        # > amount reasonable for the services provided   (RFC 9112 7.1.1)
        raise ConnectionFault(400, "chunk extensions too long", "RFC 9112 7.1.1")
    core._pos = lf + 1
    if left == 0:
        h1.phase = TRAILERS
        return H1_CHUNKED
    _check_size(h1, left)
    h1.received += left
    h1.chunk_left = left
    h1.phase = DATA
    return H1_CHUNKED


def _trailers(core: Core, h1: Http1, stream: Stream) -> i64:
    head = h1.head
    if head is None:
        data = core._in
        pos = core._pos
        if pos + 1 < len(data) and data[pos] == parse.CR and data[pos + 1] == parse.LF:
            core._pos = pos + 2
            return _complete(core, stream, None)
        head = Head(False, True)
        h1.head = head
    if not _take_fields(core, h1, head, h1.trailer_bounds):
        return WAIT
    h1.head = None
    if not head.fields:
        return _complete(core, stream, None)
    trailers = cast("list[tuple[str, str]]", head.fields)
    for name, _ in trailers:
        if name in body.NOT_IN_TRAILERS:
            raise parse.malformed(f"{name} among trailers", "RFC 9110 6.5.1")
    return _complete(core, stream, trailers)


def _complete(core: Core, stream: Stream, trailers: list[tuple[str, str]] | None) -> i64:
    """The peer's message is complete."""
    h1 = core._h1
    h1.reading = 0
    h1.received = 0
    if core._server:
        core._state = (
            H1_BLOCKED if h1.asking == stream.id else H1_IGNORE if h1.stop else H1_HEAD
        )
    else:
        h1.turn = stream.id + 2
        if h1.unsafe == stream.id:
            h1.unsafe = 0
        core._state = H1_IGNORE if h1.last == stream.id else H1_HEAD
    stream.read = DONE
    # If our message is complete already, this ends the stream; else that will, maybe in the event.
    ends = stream.write == DONE
    try:
        if core._wants & ON_MESSAGE_TAIL:
            core.on_message_tail(stream.id, trailers)
    finally:
        if ends or h1.last == stream.id:
            turns.read(core, stream)
    return core._state


# -- other protocols ------------------------------------------------------------------------------


def _blocked(core: Core) -> i64:
    """What an upgrade or a tunnel asked for comes to has not been decided, or has been by now."""
    h1 = core._h1
    if h1.asking != 0 and not h1.asked:
        # > (the body belongs to HTTP/1.1: this is fired behind its end)
        h1.asked = True
        stream = core._streams.get(h1.asking)
        if stream is not None and not stream.connect and core._wants & ON_UPGRADE:
            core.on_upgrade(stream.id)
            if core._state == CLOSED:
                return CLOSED
    if h1.asking != 0:
        if len(core._in) - core._pos > _MAX_BLOCKED:
            raise WouldBlockError("an upgrade is undecided", stream=h1.asking)
        return WAIT
    if h1.tunnel != 0:
        return H1_TUNNEL
    return H1_IGNORE if h1.stop else H1_HEAD


def _tunnel(core: Core) -> i64:
    stream = core._streams.get(core._h1.tunnel)
    if stream is None or stream.read == DONE:
        return H1_IGNORE
    n: i64 = len(core._in) - core._pos
    if n != 0:
        _deliver(core, stream, n)
        if core._state == CLOSED:
            return CLOSED
    return WAIT


def end_of_input(core: Core) -> None:
    """The connection is lost: what ends with it, ends well; what is cut short is a fault."""
    h1 = core._h1
    stream = core._streams.get(h1.reading)
    if stream is not None and (
        stream.read == TUNNEL
        or (stream.read == BODY and core._state == H1_BODY and stream.read_left == UNKNOWN_LENGTH)
    ):
        # > A response that has neither chunked transfer coding nor Content-Length is terminated by
        # > closure of the connection and, if the header section was received intact, is considered
        # > complete   (RFC 9112 8)
        core._state = H1_IGNORE
        stream.read = DONE
        try:
            if core._wants & ON_MESSAGE_TAIL:
                core.on_message_tail(stream.id, None)
        finally:
            streams.end_read(core, stream)
    if _cut_short(core):
        raise ConnectionFault(0, "connection lost in the middle of a message", "RFC 9112 8")


def _cut_short(core: Core) -> bool:
    """Whether the peer still owed us something."""
    h1 = core._h1
    if not core._server:
        return any(s.read != DONE for s in core._streams.values())
    if h1.stop and core._state == H1_HEAD:
        return False
    if core._state == H1_HEAD or core._state == H1_DETECT:
        return h1.head is not None or (
            len(core._kept) != 0 and len(core._streams) < h1.max_pipelined
        )
    if core._state == H1_CHUNKED or core._state == H1_BODY:
        stream = core._streams.get(h1.reading)
        return stream is not None and stream.read == BODY and stream.read_left != 0
    return False
