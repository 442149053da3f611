"""The scope of a request: the description that an ASGI application gets.

Knows a transport's addresses and its TLS, and the fields of a request. Must never know what the
application answers. Source: the HTTP and WebSocket specification of ASGI, version 2.5, and its
TLS extension, version 0.2.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from cno.aio.server.connection import Request
from cno.aio.server.response_writer import HeldHeads
from cno.aio.server.state import ServerLink, peer_of
from cno.asgi.fields import FieldCache
from cno.h1.pipelining import is_http10
from cno.headers import encode

Scope: TypeAlias = dict[str, Any]

SPEC_VERSION: Final = "2.5"

#: The extensions of ASGI that a response may use.
HTTP_EXTENSIONS: Final = (
    "http.response.trailers",
    "http.response.pathsend",
    "http.response.zerocopysend",
    "http.response.early_hint",
)
PUSH: Final = "http.response.push"

#: Versions of TLS by the names that `ssl` gives them (RFC 8446 4.1.2).
TLS_VERSIONS: Final[dict[str, int]] = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}

#: Names of a certificate's attributes as RFC 4514 section 3 abbreviates them.
ATTRIBUTES: Final[dict[str, str]] = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}


class ConnectionScope:
    """The items that the scopes of all requests of one connection share."""

    def __init__(
        self, conn: ServerLink, root_path: str, state: dict[str, Any], versions: dict[str, str]
    ) -> None:
        transport = conn.transport
        self.http2 = conn.is_http2
        self.root_path = root_path
        self.raw_root = root_path.encode()
        self.state = state
        self.versions = versions
        self.tls = tls_of(transport)
        self.fields = FieldCache()
        self.held: HeldHeads | None = None  # HTTP/1.1: the heads of responses that are not written
        self.extensions: dict[str, Any] = {name: {} for name in HTTP_EXTENSIONS}
        if self.http2:
            self.extensions[PUSH] = {}
        self.common: Scope = {
            "type": "http",
            "asgi": None,
            "http_version": "2" if self.http2 else "1.1",
            "server": server_of(transport),
            "client": peer_of(conn),
            "scheme": conn.scheme,
            "root_path": root_path,
        }
        #: The scope of an HTTP request for `path`, with its keys. (To copy a dictionary and replace
        #: items takes half of the time of adding them.)
        self.http: Scope = {
            **self.common,
            "method": "GET",
            "path": "",
            "raw_path": b"",
            "query_string": b"",
            "headers": None,
            "state": None,
            "extensions": None,
        }
        self.path = ""  # none is empty


def http_scope(shared: ConnectionScope, request: Request) -> Scope:
    """Return the scope of an HTTP request."""
    if request.path != shared.path:
        shared.path = ""  # should this fail
        _locate(shared, request, shared.http)
        shared.path = request.path
    scope = shared.http.copy()
    if request.method != "GET":
        scope["method"] = request.method
    if not shared.http2 and is_http10(request.conn, request.stream):
        scope["http_version"] = "1.0"
    _describe(shared, request, scope)
    extensions = shared.extensions.copy()
    if shared.tls is not None:
        extensions["tls"] = shared.tls.copy()
    scope["extensions"] = extensions
    return scope


def version_of(request: Request) -> str:
    """Return the version of HTTP that a request came in; to be asked before it is answered."""
    conn = request.conn
    if conn.is_http2:
        return "2"
    return "1.0" if is_http10(conn, request.stream) else "1.1"


def websocket_scope(shared: ConnectionScope, request: Request) -> Scope:
    """Return the scope of a request that asks for a WebSocket."""
    scope = shared.common.copy()
    scope["type"] = "websocket"
    _locate(shared, request, scope)
    _describe(shared, request, scope)
    scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
    protocols: list[str] = []
    for name, value in request.headers:
        if name == "sec-websocket-protocol":
            protocols += [each.strip() for each in value.split(",") if each.strip()]
    scope["subprotocols"] = protocols
    extensions: dict[str, Any] = {"websocket.http.response": {}}
    if shared.tls is not None:
        extensions["tls"] = shared.tls.copy()
    scope["extensions"] = extensions
    return scope


def _locate(shared: ConnectionScope, request: Request, scope: Scope) -> None:
    """Add the items that the path of a request becomes."""
    raw, _, query = request.path.partition("?")
    path = unquote(raw) if "%" in raw else raw
    if shared.root_path:
        scope["path"] = shared.root_path + path
        scope["raw_path"] = shared.raw_root + encode(raw)
    else:
        scope["path"] = path
        scope["raw_path"] = encode(raw)
    scope["query_string"] = encode(query) if query else b""


def _describe(shared: ConnectionScope, request: Request, scope: Scope) -> None:
    """Add the other items of both kinds of scope, which each request has for itself."""
    scope["asgi"] = shared.versions.copy()
    scope["headers"] = shared.fields.to_bytes(request.headers)
    scope["state"] = shared.state.copy()


# -- the transport -----------------------------------------------------------------------------


def server_of(transport: asyncio.BaseTransport) -> tuple[str, int | None] | None:
    """Return our host and port, or the path of a Unix socket and None."""
    found: object = transport.get_extra_info("sockname")
    if isinstance(found, (tuple, list)) and len(found) >= 2:
        return str(found[0]), int(found[1])
    if isinstance(found, str) and found:
        return found, None
    return None


def tls_of(transport: asyncio.BaseTransport) -> dict[str, Any] | None:
    """Return what the `tls` extension says of a connection; None in clear text.

    Of the server's own certificate Python tells nothing: `server_cert` is None.
    """
    secured: Any = transport.get_extra_info("ssl_object")
    if not isinstance(secured, (ssl.SSLObject, ssl.SSLSocket)):
        return None
    der = secured.getpeercert(True)
    chain: list[str] = []
    name: str | None = None
    if der is not None:
        chain.append(ssl.DER_cert_to_PEM_cert(der))
        name = distinguished_name(secured.getpeercert() or {})
    return {
        "server_cert": None,
        "client_cert_chain": chain,
        "client_cert_name": name,
        "client_cert_error": None,
        "tls_version": TLS_VERSIONS.get(secured.version() or ""),
        "cipher_suite": cipher_suite(secured),
    }


def cipher_suite(secured: ssl.SSLObject | ssl.SSLSocket) -> int | None:
    """Return the number that IANA gives the cipher suite in use."""
    current = secured.cipher()
    if current is None:
        return None
    for each in secured.context.get_ciphers():
        if each["name"] == current[0]:
            return int(each["id"]) & 0xFFFF
    return None


def distinguished_name(certificate: Mapping[str, Any]) -> str | None:
    """Return the subject of a certificate as RFC 4514 writes it: the most specific part first."""
    parts: list[str] = []
    for group in certificate.get("subject", ()):
        parts.append("+".join([f"{ATTRIBUTES.get(n, n)}={escaped(v)}" for n, v in group]))
    return ",".join(reversed(parts)) if parts else None


def escaped(value: str) -> str:
    """Return the value of an attribute with its special characters escaped (RFC 4514 2.4)."""
    found = "".join(["\\" + c if c in ',+"\\<>;' else c for c in value]).replace("\0", "\\00")
    if found.startswith(("#", " ")):
        found = "\\" + found
    if found.endswith(" ") and len(value) > 1:
        found = found[:-1] + "\\ "
    return found
