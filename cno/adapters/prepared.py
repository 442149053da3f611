"""Converts requests of httpx for both transports, the asynchronous and the blocking one.

Knows the attributes of httpx's requests and responses. Must never import httpx, or know how a
request is sent.
"""

import base64
import hashlib
from typing import Any, Final

from cno.adapters.fields import is_ascii, to_bytes, to_text, without
from cno.adapters.package import SCHEMES, Package
from cno.aio.client.urls import Target
from cno.aio.fields import Headers, value_of
from cno.aio.hosts import bracketed

#: Targets that are kept, by what httpx says of the origin.
MAX_TARGETS: Final = 1_024
#: Fields that ask for an upgrade in HTTP/1.1, which HTTP/2 asks for otherwise (RFC 8441 5).
UPGRADE_FIELDS: Final = frozenset(("connection", "upgrade", "sec-websocket-key", "host"))
#: A WebSocket server appends this to the client's key (RFC 6455 1.3).
WEBSOCKET_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Prepared:
    """The parts of a request. `body` is bytes, or the stream of httpx that gives them."""

    def __init__(self, package: Package, request: Any) -> None:
        extensions: dict[str, Any] = request.extensions
        self.method: str = request.method
        self.path: str = str(request.url.raw_path, "ascii")
        wanted = extensions.get("target")
        if wanted is not None:
            self.path = str(wanted, "ascii") if isinstance(wanted, bytes) else wanted
        self.fields = to_text(request.headers.raw)
        stream = request.stream
        self.is_whole = isinstance(stream, package.byte_stream)
        self.body: Any = b"".join(stream) if self.is_whole else stream
        self.trailers = trailers_of(extensions.get("trailers"))
        if self.trailers:
            self.fields = without(self.fields, frozenset(("content-length",)))
        self.timeouts: Any = extensions.get("timeout")
        self.trace: Any = extensions.get("trace")
        self.server_name: Any = extensions.get("sni_hostname")

    def opens_tunnel(self) -> bool:
        """Return whether the request asks for a tunnel, or an upgrade."""
        return self.method == "CONNECT" or bool(value_of(self.fields, "upgrade"))


class Targets:
    """The targets of URLs, cached."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._known: dict[Any, Target] = {}

    def find(self, url: Any, server_name: Any) -> Target:
        """Return the target of a URL of httpx. Raises httpx's errors for one that has none."""
        scheme: str = url.scheme
        host: bytes = url.raw_host
        port: Any = url.port
        key = (scheme, host, port, server_name)
        target = self._known.get(key)
        if target is None:
            target = self._new(scheme, str(host, "ascii"), port, server_name)
            if len(self._known) >= MAX_TARGETS:
                self._known.clear()
            self._known[key] = target
        return target

    def _new(self, scheme: str, host: str, port: Any, server_name: Any) -> Target:
        by = SCHEMES.get(scheme)
        if by is None or host == "":
            raise self._package.unsupported("" if host == "" and by is None else scheme)
        place = bracketed(host)
        if port is not None:
            place = f"{place}:{port}"
        try:
            target = Target(f"{by}://{place}/")
        except ValueError as error:
            failure = self._package.error("LocalProtocolError", str(error), error)
            raise failure from error
        if server_name is not None:
            name = str(server_name, "ascii") if isinstance(server_name, bytes) else server_name
            target.server_name = name
            target.origin = f"{target.origin} {name}"
        return target


def http1_target(target: Target) -> Target:
    """Return a copy of a target, whose connections are kept apart from those of the original."""
    same = Target(f"{target.scheme}://{target.authority}/")  # compiled objects have no copies
    same.server_name = target.server_name
    same.origin = f"{target.origin} http/1.1"
    return same


def websocket_fields(fields: Headers) -> Headers:
    """Return the fields of the extended CONNECT that replaces an upgrade of HTTP/1.1 (RFC 8441)."""
    return [
        (":protocol", value_of(fields, "upgrade") or ""),
        (":authority", value_of(fields, "host") or ""),
        *without(fields, UPGRADE_FIELDS),
    ]


def connect_fields(authority: str, fields: Headers) -> Headers:
    """Return the fields of CONNECT, with its target as authority (RFC 9110 9.3.6)."""
    return [(":authority", authority), *without(fields, frozenset(("host",)))]


class Head:
    """The head of a response as httpx has it. `is_tunnel`: a byte stream follows it.

    An extended CONNECT that succeeded looks like the 101 of HTTP/1.1: httpx knows no other.
    """

    def __init__(
        self, method: str, fields: Headers, code: int, headers: Headers, http2: bool
    ) -> None:
        self.code = code
        self.headers = headers
        self.is_tunnel = code == 101
        successful = 200 <= code < 300
        if method == "CONNECT":
            self.is_tunnel = successful
        elif http2 and successful and value_of(fields, "upgrade"):
            self.is_tunnel = True
            self.code = 101
            key = value_of(fields, "sec-websocket-key") or ""
            self.headers = [
                ("upgrade", "websocket"),
                ("connection", "upgrade"),
                ("sec-websocket-accept", accept_of(key)),
                *headers,
            ]


def response_of(
    package: Package, head: Head, response: Any, stream: Any, network: Any, http2: bool
) -> Any:
    """Return a response, asynchronous or blocking, as httpx has it."""
    interim: list[tuple[int, Headers]] = response.informational
    extensions: dict[str, Any] = {
        "http_version": b"HTTP/2" if http2 else b"HTTP/1.1",
        "network_stream": network,
        "trailers": stream.trailers,
        "informational": [(code, to_bytes(fields)) for code, fields in interim],
    }
    if http2:
        extensions["stream_id"] = response.stream
    else:
        extensions["reason_phrase"] = response.reason.encode("utf-8", "surrogateescape")
    fields = head.headers
    if package.headers is None or not is_ascii(fields):
        return package.response(
            status_code=head.code, headers=to_bytes(fields), stream=stream, extensions=extensions
        )
    # To copy empty ones is the shortest way through the constructor.
    made = package.response(
        status_code=head.code, headers=package.no_headers, stream=stream, extensions=extensions
    )
    headers = package.headers.__new__(package.headers)
    headers._cno_fields = fields
    made.headers = headers
    return made


def traced_head(http2: bool, code: int, reason: str, headers: Headers) -> dict[str, Any]:
    """Return httpcore's form of a response's head, for `trace`."""
    fields = to_bytes(headers)
    if http2:
        return {"return_value": (code, fields)}
    phrase = reason.encode("utf-8", "surrogateescape")
    return {"return_value": (b"HTTP/1.1", code, phrase, fields)}


def accept_of(key: str) -> str:
    """Return the field that proves a WebSocket handshake (RFC 6455 4.2.2)."""
    digest = hashlib.sha1((key + WEBSOCKET_GUID).encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def trailers_of(given: Any) -> Headers | None:
    """Return the trailers of the extension: pairs of text or bytes."""
    if not given:
        return None
    trailers: Headers = []
    for name, value in given:
        trailers.append(
            (
                (str(name, "latin-1") if isinstance(name, bytes) else name).lower(),
                str(value, "utf-8", "surrogateescape") if isinstance(value, bytes) else value,
            )
        )
    return trailers
