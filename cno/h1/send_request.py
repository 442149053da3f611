"""HTTP/1.1, output of a client: request lines and their fields (RFC 9112 section 3).

`send` writes the bodies of requests and responses.
"""

from mypy_extensions import i64

from cno import streams
from cno.const import MAX_STREAM_ID
from cno.core import BODY, DONE, HEAD, UNKNOWN_LENGTH, Core, Stream
from cno.errors import (
    ConnectionFault,
    DisconnectError,
    InvalidStreamError,
    UsageError,
    WouldBlockError,
)
from cno.h1 import compose, upgrade
from cno.h1.compose import Outgoing
from cno.h1.parse import protocols
from cno.h1.state import CHUNKED, LENGTH, UNDECIDED
from cno.h1.target import has_port, split
from cno.headers import EXPECT_CONTENT, IDEMPOTENT, is_path, is_target, is_token


def write_head(
    core: Core,
    id: i64,
    code: int,
    method: str,
    path: str,
    headers: list[tuple[str, str]],
    final: bool,
) -> None:
    """Write a request's head."""
    _may_begin(core, id)
    if code != 0:
        raise UsageError("a request has no status code", stream=id)
    idempotent = method in IDEMPOTENT
    if not idempotent and not is_token(method):
        raise UsageError(f"{method!r} is no method", stream=id, rule="RFC 9110 9.1")
    h1 = core._h1
    writer = core._writer
    mark = len(writer)
    try:
        out = Outgoing(True, method == "CONNECT")
        host = compose.authority(headers, h1.host)
        line = f"{method} {_target(method, path, host)} HTTP/1.1\r\nhost: {host}\r\n"
        writer.write(line.encode())
        compose.field_lines(writer, headers, out)
        framing = _frame(core, out, method, final)
        h2c = final and out.upgrade is None and upgrade.may_offer(core, id, method)
        if h2c:
            upgrade.offer(core, out)
        # After 2^30 requests there is no id for another one.
        last = out.close or id >= MAX_STREAM_ID
        compose.connection(writer, out, last, False)
        writer.write(b"\r\n")
    except BaseException:
        writer.truncate(mark)
        raise
    stream = Stream(id, True, HEAD, DONE if final else BODY)
    stream.head = method == "HEAD"
    stream.connect = method == "CONNECT"
    stream.authority = host
    stream.write_left = out.length
    core._last_local = id
    h1.offered = None if out.upgrade is None else protocols(out.upgrade)
    h1.offered_h2c = h2c
    if not final:
        h1.sending_id = id
        h1.framing = framing
    h1.host = host  # most often the next request has the same
    if not idempotent:
        h1.unsafe_id = id
    if out.upgrade is not None or stream.connect:
        h1.upgrade_pending = id
    if last:
        # > A client that sends a "close" connection option MUST NOT send further requests on that
        # > connection (after the one containing the "close")   (RFC 9112 9.6)
        h1.last_id = id
        h1.no_more_messages = True
    streams.start(core, stream)


def _may_begin(core: Core, id: i64) -> None:
    """Raise unless a request may be written on this stream now."""
    h1 = core._h1
    due = core._last_local + 2 if core._last_local != 0 else 1
    if id != due:
        if id in core._streams:
            raise UsageError("the request has begun already", stream=id)
        raise InvalidStreamError(f"the next request goes on stream {due}", stream=id)
    if h1.no_more_messages:
        raise DisconnectError("the connection takes no more requests", stream=id)
    # > A user agent SHOULD NOT pipeline requests after a non-idempotent method, until the final
    # > response status code for that method has been received   (RFC 9112 9.3.2)
    before = h1.sending_id or h1.unsafe_id or h1.upgrade_pending
    if before != 0:
        h1.waiting_ids[id] = True
        raise WouldBlockError(
            f"stream {before} must be complete first", stream=id, rule="RFC 9112 9.3.2"
        )


def _target(method: str, path: str, host: str) -> str:
    """Return the request target in its form (RFC 9112 3.2)."""
    if method == "CONNECT":
        if path != "":
            raise UsageError("CONNECT has no path", rule="RFC 9112 3.2.3")
        if not has_port(host):
            raise UsageError(f"CONNECT needs a port, {host!r} has none", rule="RFC 9112 3.2.3")
        return host
    if path == "":
        # > If the target URI's path component is empty, the client MUST send "/" as the path within
        # > the origin-form of request-target.   (RFC 9112 3.2.1; "*" for OPTIONS: 3.2.4)
        return "*" if method == "OPTIONS" else "/"
    if not is_path(path, method):
        _check_absolute(method, path, host)
    return path


def _check_absolute(method: str, path: str, host: str) -> None:
    """Raise UsageError unless this is a target in absolute-form, for a proxy, with this `host`."""
    if is_target(path):
        try:
            found = split(method, path)
        except ConnectionFault as fault:
            raise UsageError(f"{path!r}: {fault.text}", rule=fault.rule) from None
        # > If the target URI includes an authority component, then a client MUST send a field value
        # > for Host that is identical to that authority component   (RFC 9112 3.2)
        if found.authority is not None and found.authority.lower() == host.lower():
            return
    raise UsageError(f"{path!r} is no request target for {host!r}", rule="RFC 9112 3.2")


def _frame(core: Core, out: Outgoing, method: str, final: bool) -> i64:
    """Decide how the body of a request ends, and write the field that says so."""
    if method == "CONNECT":
        # > A CONNECT request message does not have content.   (RFC 9110 9.3.6)
        if out.length > 0 or out.codings is not None:
            raise UsageError("CONNECT has no body", rule="RFC 9110 9.3.6")
        return UNDECIDED
    if out.length != UNKNOWN_LENGTH:
        if out.codings is not None:
            raise UsageError("content-length and transfer-encoding", rule="RFC 9112 6.2")
        if final and out.length != 0:
            raise UsageError("content-length without a body", rule="RFC 9110 8.6")
        return LENGTH
    writer = core._writer
    if final:
        if method in EXPECT_CONTENT:
            # > A user agent SHOULD send Content-Length in a request when the method defines a
            # > meaning for enclosed content and it is not sending Transfer-Encoding.
            # > (RFC 9110 8.6)
            writer.write(b"content-length: 0\r\n")
        return LENGTH
    if core._h1.peer_is_http10:
        # > A client MUST NOT send a request containing Transfer-Encoding unless it knows the server
        # > will handle HTTP/1.1 requests (or later minor revisions)   (RFC 9112 6.1)
        raise UsageError("the server speaks HTTP/1.0: content-length needed", rule="RFC 9112 6.1")
    compose.transfer_encoding(writer, out)
    return CHUNKED
