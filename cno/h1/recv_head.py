"""HTTP/1.1, input: heads, which begin requests and responses (RFC 9112 sections 2 to 6, 9).

Decides how the body of a message ends and whether the connection persists; `recv` continues there.
"""

from typing import Final, cast

from mypy_extensions import i64

from cno import streams
from cno.core import (
    BODY,
    DONE,
    H1_BLOCKED,
    H1_BODY,
    H1_CHUNKED,
    H1_HEAD,
    H1_IGNORE,
    H1_TUNNEL,
    H2_PREFACE,
    H2_SETTINGS,
    HEAD,
    ON_MESSAGE_HEAD,
    ON_UPGRADE,
    TUNNEL,
    UNKNOWN_LENGTH,
    WAIT,
    Core,
    Stream,
)
from cno.errors import ConnectionFault, WouldBlockError
from cno.h1 import lenient, parse, target, upgrade
from cno.h1.parse import Bounds, Head, HeaderLineCache
from cno.h1.state import SIZE, Http1
from cno.headers import is_authority

#: Most empty lines before a request.
_MAX_BLANK: Final = 16
#: Largest input, in bytes, that is decoded at once without a search for the end of the section.
_DECODE_WHOLE: Final = 1024


def head(core: Core) -> i64:
    """Handle the state H1_HEAD: take a head and begin its message.

    Return the next state, or WAIT.
    """
    h1 = core._h1
    if h1.no_more_messages and core._server:
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
                raise WouldBlockError(f"{len(core._streams)} requests wait for responses")
        elif streams.lookup(core, h1.next_id) is None:
            # > If a client receives data on a connection that doesn't have outstanding requests,
            # > the client MUST NOT consider that data to be a valid response   (RFC 9112 9.2)
            raise ConnectionFault(0, "data without a request", "RFC 9112 9.2")
    head = _take_head(core, h1)
    if head is None:
        return WAIT
    h1.empty_lines = 0
    if core._server:
        return _request(core, h1, head)
    return _response(core, h1, head)


def _skip_blank(core: Core) -> bool:
    """Skip empty lines before a request. Return False if more input is needed."""
    # > In the interest of robustness, a server that is expecting to receive and parse a
    # > request-line SHOULD ignore at least one empty line (CRLF) received prior to the
    # > request-line.   (RFC 9112 2.2)
    data = core._in
    end: i64 = len(data)
    i = core._pos
    while i + 1 < end and data[i] == parse.CR and data[i + 1] == parse.LF:
        i += 2
        core._h1.empty_lines += 1
        if core._h1.empty_lines > _MAX_BLANK:
            raise parse.malformed("too many empty lines", "RFC 9112 2.2")
    core._pos = i
    return i < end and (data[i] != parse.CR or i + 1 < end)


def _take_head(core: Core, h1: Http1) -> Head | None:
    """Take the complete lines of a head. Return the head when all of it has been taken."""
    head = h1.head
    if head is None:
        head = Head(core._server, False)
        head.allowances = h1.allowances
        head.controls = not core._server
        h1.head = head
    if not head.begun:
        data = core._in
        start = core._pos
        end: i64 = len(data)
        if h1.allowances & lenient.LINES:
            pos = lenient.start_line(head, data, start, end, h1.bounds)
        elif core._server:
            pos = parse.request_line(head, data, start, end, h1.bounds)
        else:
            pos = parse.status_line(head, data, start, end, h1.bounds)
        if pos == parse.INCOMPLETE:
            h1.line_incomplete = True
            h1.line_room = parse.room(head, h1.bounds, end - start)
            return None
        core._pos = pos
        head.begun = True
    if not take_fields(core, h1, head, h1.bounds, h1.line_cache):
        return None
    h1.head = None
    if h1.line_cache is None:
        # Created after the first head: on many connections there is no second one.
        h1.line_cache = HeaderLineCache()
    return head


def take_fields(
    core: Core, h1: Http1, head: Head, bounds: Bounds, cache: HeaderLineCache | None
) -> bool:
    """Take the complete lines of a field or trailer section. Return True at its end."""
    data = core._in
    pos = core._pos
    end: i64 = len(data)
    start = pos
    at_first_line = cache is not None and head.count == 0
    if cache is not None and at_first_line:
        pos = cache.match_section(head, data, pos, end)
        if pos != start:
            core._pos = pos
            return True
    if end - pos > _DECODE_WHOLE:
        # Do not decode what follows the section.
        empty: i64 = data.find(b"\r\n\r\n", pos)
        if empty >= 0:
            end = empty + 4
    if head.allowances & lenient.LINES:
        pos = lenient.field_lines(head, data, pos, end, bounds)
    else:
        pos = parse.field_lines(head, data, pos, end, bounds, cache)
    core._pos = pos
    if head.complete:
        if cache is not None and at_first_line and head.repeated == head.count:
            cache.store_section(head, data, start, pos)
        return True
    h1.line_incomplete = head.allowances & lenient.OBS_FOLD == 0 or data.find(b"\n", pos) < 0
    h1.line_room = parse.room(head, bounds, end - pos)
    return False


def _request(core: Core, h1: Http1, head: Head) -> i64:
    """Begin the stream of a request whose head is complete."""
    method = head.method
    path = head.target
    connect = method == "CONNECT"
    old = head.minor == 0
    if head.host is None and not old:
        # > A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request
        # > message that lacks a Host header field   (RFC 9112 3.2)
        raise parse.malformed("no Host", "RFC 9112 3.2")
    if head.host is not None and head.host != h1.host:
        _check_host(h1, head, head.host)
    if core.scheme != h1.scheme_pair[1]:
        h1.scheme_pair = (":scheme", core.scheme)
    fields: list[object] = [h1.scheme_pair] if head.host is None else [h1.scheme_pair, h1.host_pair]
    if connect or not head.origin:
        path = _resolve(head, fields)
    if head.named is None and head.upgrade is None:
        fields.extend(head.fields)
    else:
        fields.extend(parse.end_to_end(head))
    chunked = _request_framing(h1, head, old)
    if chunked and head.allowances & lenient.CODINGS:
        _name_codings(head, fields)
    id = core._last_remote + 2 if core._last_remote != 0 else 1
    if id == 1 and head.length == 0 and not chunked:
        if upgrade.accept(core, head, path, fields) == H2_PREFACE:
            return H2_PREFACE
    stream = Stream(id, False, BODY, HEAD)
    stream.head = method == "HEAD"
    stream.connect = connect
    stream.read_left = UNKNOWN_LENGTH if chunked else head.length
    core._last_remote = id
    _note_request(core, h1, head, stream)
    core._state = H1_BLOCKED if connect else H1_CHUNKED if chunked else H1_BODY
    try:
        streams.start(core, stream)
    finally:
        # Even if on_stream_start raises: on_message_head has to come before the body.
        if stream.read != DONE and core._wants & ON_MESSAGE_HEAD:
            core.on_message_head(id, 0, method, path, cast("list[tuple[str, str]]", fields))
    return core._state


def _check_host(h1: Http1, head: Head, host: str) -> None:
    """Check the value of Host, and store it for the requests that follow."""
    authority = host
    if not is_authority(host):
        if head.allowances & parse.ANY_AUTHORITY == 0:
            raise parse.malformed("invalid Host", "RFC 9112 3.2")
        authority = host.encode("latin-1").decode("utf-8", "surrogateescape")
    h1.host = host
    h1.host_pair = (":authority", authority)


def _resolve(head: Head, fields: list[object]) -> str:
    """Update the pseudo-header fields with what the request target says. Return the path."""
    found = target.split(head.method, head.target)
    if found.authority is not None:
        fields[1:] = [(":authority", found.authority)]
    if found.scheme is not None:
        fields[0] = (":scheme", found.scheme)
    elif head.method == "CONNECT":
        del fields[0]
    return found.path


def _request_framing(h1: Http1, head: Head, old: bool) -> bool:
    """Whether the body of a request is chunked; if not, set `head.length` to its length."""
    if head.codings is not None:
        # > A server or client that receives an HTTP/1.0 message containing a Transfer-Encoding
        # > header field MUST treat the message as if the framing is faulty   (RFC 9112 6.1)
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
        check_size(h1, head.length)
    else:
        # > If this is a request message and none of the above are true, then the message body
        # > length is zero (no message body is present).   (RFC 9112 6.3)
        head.length = 0
    return False


def _name_codings(head: Head, fields: list[object]) -> None:
    """Add a field that names the transfer codings inside chunked."""
    codings = parse.inner_codings(head)
    if codings != "":
        fields.append(("transfer-encoding", codings))


def check_size(h1: Http1, size: i64) -> None:
    """Raise ConnectionFault if a body becomes too large with `size` more bytes."""
    if size > h1.max_body - h1.body_received:
        raise too_large()


def too_large() -> ConnectionFault:
    # > The 413 (Content Too Large) status code indicates that the server is refusing to process a
    # > request because the request content is larger than the server is willing or able to process.
    # > (RFC 9110 15.5.14)
    return ConnectionFault(413, "content too large", "RFC 9110 15.5.14", "max_body_size")


def _note_request(core: Core, h1: Http1, head: Head, stream: Stream) -> None:
    """Record what a request says about the connection and about its response."""
    old = head.minor == 0
    _begin_body(h1, stream)
    if old:
        h1.http10_ids[stream.id] = True
    # > If the "close" connection option is present, the connection will not persist after the
    # > current response; else, if the received protocol is HTTP/1.1 (or later), the connection will
    # > persist ... else, if the received protocol is HTTP/1.0, the "keep-alive" connection option
    # > is present, ... the connection will persist   (RFC 9112 9.3)
    if head.close or (old and not head.keep_alive) or stream.id >= h1.last_allowed:
        h1.last_id = stream.id
        h1.no_more_messages = True
    elif head.upgrade is not None and core._wants & ON_UPGRADE and upgrade.for_application(head):
        h1.upgrade_pending = stream.id
        h1.upgrade_fired = False
        h1.offered = parse.protocols(head.upgrade)
    if stream.connect:
        h1.upgrade_pending = stream.id
    if head.expects and not old and stream.read_left != 0:
        h1.expecting_id = stream.id
        h1.queued_continue = b""  # for an earlier request, whose body came without it


def _begin_body(h1: Http1, stream: Stream) -> None:
    h1.reading_id = stream.id
    h1.chunk_phase = SIZE
    h1.ext_size = 0


def _response(core: Core, h1: Http1, head: Head) -> i64:
    """Deliver a response whose head is complete. Return the next state."""
    stream = streams.lookup(core, h1.next_id)
    if stream is None:
        return H1_IGNORE
    code = head.code
    h1.peer_is_http10 = head.minor == 0
    fields = parse.end_to_end(head)
    if head.allowances & lenient.CODINGS:
        _name_codings(head, fields)
    follow: i64 = H1_HEAD
    if code == 101:
        follow = _switched(h1, head, stream)
        if follow == H2_SETTINGS:
            return follow
    elif code < 200:
        if not streams.interim(core, stream):
            raise ConnectionFault(
                0, "too many informational responses", "RFC 9110 15.2", "max_informational"
            )
    else:
        follow = _final_response(h1, head, stream)
    core._state = follow
    if core._wants & ON_MESSAGE_HEAD:
        core.on_message_head(
            stream.id, int(code), head.method, "", cast("list[tuple[str, str]]", fields)
        )
    if code == 101 and core._state == H1_TUNNEL and core._wants & ON_UPGRADE:
        core.on_upgrade(stream.id)
    return core._state


def _switched(h1: Http1, head: Head, stream: Stream) -> i64:
    """Handle 101. Return the next state."""
    # > A server MUST NOT switch to a protocol that was not indicated by the client in the
    # > corresponding request's Upgrade header field.   (RFC 9110 7.8)
    named = parse.protocols(head.upgrade or "")
    asked = h1.offered is not None and all(p in h1.offered for p in named)
    if (
        h1.upgrade_pending != stream.id
        or stream.connect
        or stream.write == BODY
        or not named
        or not asked
    ):
        raise ConnectionFault(0, "101 that was not asked for", "RFC 9110 7.8")
    h1.upgrade_pending = 0
    if h1.offered_h2c:
        return H2_SETTINGS
    _enter_tunnel(h1, stream)
    return H1_TUNNEL


def _enter_tunnel(h1: Http1, stream: Stream) -> None:
    h1.reading_id = stream.id
    h1.tunnel_id = stream.id
    h1.no_more_messages = True
    h1.sending_id = 0
    stream.read = TUNNEL
    stream.write = TUNNEL


def _final_response(h1: Http1, head: Head, stream: Stream) -> i64:
    """Decide how the body of a final response ends (RFC 9112 6.3). Return the next state."""
    if h1.upgrade_pending == stream.id:
        h1.upgrade_pending = 0
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
            h1.sending_id = 0
    old = head.minor == 0
    if head.codings is not None and (old or head.length != parse.NO_LENGTH):
        raise parse.malformed("faulty framing by transfer-encoding", "RFC 9112 6.1")
    _begin_body(h1, stream)
    stream.read = BODY
    # A proxy that refuses CONNECT closes the connection, whether its response says so or not. What
    # follows would answer no request of ours (RFC 9931, which updates RFC 9112).
    closes = stream.connect or head.close or (old and not head.keep_alive)
    follow: i64 = H1_BODY
    if stream.head or head.code == 204 or head.code == 304:
        stream.read_left = 0
    elif head.codings is not None and parse.is_chunked(head):
        stream.read_left = UNKNOWN_LENGTH
        follow = H1_CHUNKED
    else:
        # Without a length, or with another last coding than chunked, the body lasts until the end
        # of input.
        stream.read_left = head.length
        if head.length == parse.NO_LENGTH:
            closes = True
        else:
            check_size(h1, head.length)
    if closes:
        h1.last_id = stream.id
        h1.no_more_messages = True
    return follow
