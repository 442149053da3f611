"""`Upgrade: h2c`: from HTTP/1.1 to HTTP/2 without TLS (RFC 7540 section 3.2; RFC 9113 3.1 has
deprecated it, so both sides must enable it).

This module decides when the engine changes to HTTP/2, and knows nothing of HTTP/2 itself.
"""

import binascii
from typing import Final, cast

from mypy_extensions import i64

from cno import settings
from cno.core import H2_PREFACE, WAIT, Core, put
from cno.h1 import compose, parse
from cno.h1.compose import Outgoing
from cno.h1.parse import Head
from cno.headers import only

_BASE64: Final[bytes] = bytes(
    1 if chr(o).isascii() and (chr(o).isalnum() or chr(o) in "-_") else 0 for o in range(256)
)

_SWITCH: Final[bytes] = (
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
)


def decode_settings(value: str) -> bytes | None:
    """Return the payload of SETTINGS in an HTTP2-Settings field; None if it is malformed.

    HTTP/2 checks its content.
    """
    # > HTTP2-Settings = token68 ... The content of the HTTP2-Settings header field is the payload
    # > of a SETTINGS frame, encoded as a base64url string   (RFC 7540 3.2.1)
    if not value.isascii() or len(value) % 4 == 1 or not only(_BASE64, value.encode()):
        return None
    text = value.replace("-", "+").replace("_", "/") + "=" * (-len(value) % 4)
    payload = binascii.a2b_base64(text)
    return payload if len(payload) % 6 == 0 else None


def for_application(head: Head) -> bool:
    """Whether a request asks for an upgrade that the application decides on."""
    # > A server MUST ignore an "h2" token in an Upgrade header field.   (RFC 7540 3.2; and what
    # > "h2c" comes to is decided here)
    return parse.asks_upgrade(head) and any(
        p != "h2c" and p != "h2" for p in parse.protocols(head.upgrade or "")
    )


def accept(core: Core, head: Head, path: str, headers: list[object]) -> i64:
    """Return H2_PREFACE if the first request, which has no body, upgrades to HTTP/2, else WAIT."""
    # > A server MUST ignore an "h2" token in an Upgrade header field. ... A server MUST NOT upgrade
    # > the connection to HTTP/2 if this header field is not present or if more than one is present.
    # > (RFC 7540 3.2 and 3.2.1)
    if core.disallow_h2_upgrade or core.scheme != "http" or not parse.asks_upgrade(head):
        return WAIT
    if (
        "h2c" not in parse.protocols(head.upgrade or "")
        or head.named is None
        or "http2-settings" not in head.named
    ):
        return WAIT
    fields = cast("list[tuple[str, str]]", head.fields)
    given = [value for name, value in fields if name == "http2-settings"]
    payload = decode_settings(given[0]) if len(given) == 1 else None
    if payload is None:
        return WAIT
    h1 = core._h1
    delivered = cast("list[tuple[str, str]]", headers)
    delivered = [field for field in delivered if field[0] != "upgrade"]
    h1.upgraded = (head.method, path, delivered)
    h1.upgrade_settings = payload
    put(core, _SWITCH)
    return H2_PREFACE


def may_offer(core: Core, id: i64, method: str) -> bool:
    """Whether a client's request, which has no body, may offer HTTP/2."""
    return (
        not core.disallow_h2_upgrade and id == 1 and method != "CONNECT" and core.scheme == "http"
    )


def offer(core: Core, out: Outgoing) -> None:
    """Write the fields that offer HTTP/2, except Connection."""
    payload = settings.encode(core._local, settings.Settings())
    text = binascii.b2a_base64(payload, newline=False).rstrip(b"=")
    text = text.replace(b"+", b"-").replace(b"/", b"_")
    core._writer.write(b"upgrade: h2c\r\nhttp2-settings: " + text + b"\r\n")
    out.upgrade = "h2c"
    compose.add_option(out, "upgrade")
    compose.add_option(out, "http2-settings")
