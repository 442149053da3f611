"""An adapter for requests: `session.mount("https://", cno.requests.Adapter())`.

Stays interpreted, because its classes derive from those of requests and urllib3.
"""

import http.client
import os
import ssl
import threading
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import requests
import urllib3
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import (
    DEFAULT_CA_BUNDLE_PATH,
    get_encoding_from_headers,
    prepend_scheme_if_needed,
    select_proxy,
)

from cno.adapters import socks
from cno.adapters.fields import without
from cno.adapters.sync_pool import SyncTransportPool, TracedDeadlines
from cno.adapters.sync_route import SyncTransportRoute
from cno.aio.client.connection import CLIENT_LIMITS
from cno.aio.client.happy_eyeballs import SocketOptions
from cno.aio.client.request_spec import completed
from cno.aio.client.urls import target_of
from cno.aio.errors import ConnectError, ConnectTimeoutError, ProxyError
from cno.aio.fields import Headers
from cno.aio.tls import PROTOCOLS
from cno.errors import ConnectionError, UsageError
from cno.limits import Limits, with_windows
from cno.sync import messages
from cno.sync.errors import PoolTimeoutError, WriteTimeoutError
from cno.sync.request_spec import RequestSpec
from cno.timeouts import Timeout

__all__ = ["Adapter"]

#: Connections without a request that a pool keeps.
MAX_IDLE: Final = 10
#: Fields that connections write themselves.
FRAMING: Final = frozenset(("transfer-encoding",))
#: Bytes of one read, if the application does not say.
PIECE: Final = 65_536


class Adapter(BaseAdapter):
    """A transport adapter for `requests.Session.mount`, on `cno.sync`: HTTP/2 and HTTP/1.1.

    Threads can share it. `http2=False` offers HTTP/1.1 alone over TLS; `http1=False` means HTTP/2
    without negotiation, in clear text too. `max_connections` bounds the connections of a pool: one
    for each combination of `verify`, `cert` and proxy. `retries` is how often a connection is tried
    again that could not be made. `limits` are the bounds on what servers may send; the timeouts are
    those of each request.

    Raises the errors of requests, with those of `cno` as their `__cause__`.
    """

    def __init__(
        self,
        *,
        http1: bool = True,
        http2: bool = True,
        max_connections: int | None = None,
        max_idle: int | None = MAX_IDLE,
        retries: int = 0,
        limits: Limits | None = None,
    ) -> None:
        super().__init__()
        if not http1 and not http2:
            raise ValueError("either http1 or http2, or both")
        self.__setstate__((http1, http2, max_connections, max_idle, retries, limits))

    def __getstate__(self) -> tuple[Any, ...]:
        return self._arguments

    def __setstate__(self, arguments: tuple[Any, ...]) -> None:
        self._arguments = arguments
        self._pools: dict[Any, SyncTransportPool] = {}
        self._lock = threading.Lock()

    def send(
        self,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Any:
        """Send a request; return its response as soon as its head has been received."""
        try:
            target = target_of(request.url)
        except ValueError as error:
            raise requests.exceptions.InvalidURL(error, request=request) from error
        proxy: str | None = select_proxy(request.url, proxies)
        pool = self._pool_for(target.scheme == "https", verify, cert, proxy, request)
        path: str = request.path_url
        try:
            fields = completed(fields_of(request), target.authority, None)
            spec = RequestSpec(request.method, path, fields, body_of(request), None)
            deadlines = TracedDeadlines(pool._limits, timeout_of(timeout), None)
            response = pool.send(target, spec, deadlines)
        except ConnectionError as fault:
            raise translated(fault, request) from fault
        return response_of(response, request, self)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            pools = list(self._pools.values())
            self._pools = {}
        for pool in pools:
            pool._close(True)

    def _pool_for(
        self, secure: bool, verify: Any, cert: Any, proxy: str | None, request: Any
    ) -> SyncTransportPool:
        key = (verify, cert, proxy) if secure else (None, None, proxy)
        with self._lock:
            pool = self._pools.get(key)
            if pool is None:
                pool = self._pools[key] = self._new_pool(secure, verify, cert, proxy, request)
            return pool

    def _new_pool(
        self, secure: bool, verify: Any, cert: Any, proxy: str | None, request: Any
    ) -> SyncTransportPool:
        http1, http2, max_connections, max_idle, retries, limits = self._arguments
        context = context_of(verify, cert) if secure else ssl.create_default_context()
        context.set_alpn_protocols(["h2"] if not http1 else list(PROTOCOLS))
        base = replace(
            CLIENT_LIMITS if limits is None else with_windows(limits, CLIENT_LIMITS),
            handshake_timeout=None,
            response_timeout=None,
            body_timeout=None,
            write_stall_timeout=None,
        )
        by_http, by_socks = proxy_of(proxy, request)
        route = SyncTransportRoute(
            context, None, by_http, None, [], by_socks, SocketOptions(None, ()), not http2
        )
        return SyncTransportPool(route, not http1, max_connections, max_idle, retries, base)


class Body:
    """The body of a response, as a file that urllib3 reads."""

    def __init__(self, response: messages.Response) -> None:
        self._response = response
        self.closed = False

    def read(self, amt: int | None = None) -> bytes:
        """Return up to `amt` bytes as soon as there are some; without it, all."""
        if amt is None:
            return self._response._read_all(None)
        return self._response._read_some(amt) if amt else b""

    def read1(self, amt: int = PIECE) -> bytes:
        """Return up to `amt` bytes as soon as there are some."""
        return self.read(amt)

    def close(self) -> None:
        """Cancel the response unless it has been read to its end."""
        self.closed = True
        self._response.cancel()

    def flush(self) -> None:
        pass


class Raw(urllib3.HTTPResponse):
    """`response.raw`: decodes the body, and passes on each part as soon as it arrives."""

    def stream(
        self, amt: int | None = PIECE, decode_content: bool | None = None
    ) -> Generator[bytes, None, None]:
        """Iterate over the parts of the body, of up to `amt` bytes, as they arrive."""
        size = PIECE if amt is None else amt
        if not hasattr(self, "read1"):  # before urllib3 2
            yield from super().stream(size, decode_content)
            return
        while True:
            data = self.read1(size, decode_content=decode_content)
            if not data:
                return
            yield data


class Response(requests.Response):
    """A response whose body raises the errors of requests, with ours as `__cause__`."""

    def iter_content(self, chunk_size: Any = 1, decode_unicode: bool = False) -> Iterator[Any]:
        parent: Any = super()
        return translating(parent.iter_content(chunk_size, decode_unicode))


class OriginalResponse:
    """What `requests.cookies` looks for cookies in."""

    def __init__(self, message: http.client.HTTPMessage) -> None:
        self.msg = message

    def close(self) -> None:
        pass

    def isclosed(self) -> bool:
        return False


def translating(pieces: Iterator[Any]) -> Iterator[Any]:
    """Iterate over a body; set the cause of an error that is raised."""
    try:
        yield from pieces
    except requests.exceptions.RequestException as error:
        cause = ours_in(error)
        if cause is None:
            raise
        raise error from cause


def ours_in(error: BaseException) -> ConnectionError | None:
    """Return our error behind one of requests."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, ConnectionError):
        found = found.__cause__ or found.__context__
    return found


# -- requests --------------------------------------------------------------------------------------


def fields_of(request: Any) -> Headers:
    """Return the fields of a request."""
    fields: Headers = []
    for name, value in request.headers.items():
        fields.append((to_text(name).lower(), to_text(value)))
    return without(fields, FRAMING)


def to_text(value: Any) -> str:
    return str(value, "utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def body_of(request: Any) -> Any:
    """Return the body of a request."""
    body: Any = request.body
    return body.encode() if isinstance(body, str) else body


def timeout_of(timeout: Any) -> Timeout:
    """Return the timeouts of a request: seconds, or (connect, read), or an `urllib3.Timeout`."""
    connect: Any = timeout
    read: Any = timeout
    if isinstance(timeout, tuple):
        try:
            connect, read = timeout
        except ValueError:
            raise ValueError(
                f"Invalid timeout {timeout}. Pass a (connect, read) timeout tuple, or a single "
                "float to set both timeouts to the same value."
            ) from None
    elif isinstance(timeout, urllib3.Timeout):
        connect, read = timeout.connect_timeout, timeout.read_timeout
    return limits_of(seconds(connect), seconds(read))


@lru_cache(maxsize=64)
def limits_of(connect: float, read: float) -> Timeout:
    """Return the timeouts of a request; most requests have the same."""
    return Timeout(connect=connect, read=read, write=read, pool=float("inf"))


def seconds(value: Any) -> float:
    return value if isinstance(value, (int, float)) else float("inf")


def context_of(verify: Any, cert: Any) -> ssl.SSLContext:
    """Return the TLS context for these arguments of requests. Raises OSError for missing files."""
    if verify is True:
        context = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
    elif not verify:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context = ssl.create_default_context()
        if os.path.isdir(verify):
            context.load_verify_locations(capath=verify)
        elif os.path.exists(verify):
            context.load_verify_locations(cafile=verify)
        else:
            raise OSError(
                f"Could not find a suitable TLS CA certificate bundle, invalid path: {verify}"
            )
    if isinstance(cert, tuple):
        context.load_cert_chain(*cert)
    elif cert:
        context.load_cert_chain(cert)
    return context


def proxy_of(proxy: str | None, request: Any) -> tuple[str | None, socks.Proxy | None]:
    """Return the URL of an HTTP proxy, or a SOCKS proxy."""
    if not proxy:
        return None, None
    url = prepend_scheme_if_needed(proxy, "http")
    parsed = urllib3.util.parse_url(url)
    if not parsed.host:
        raise requests.exceptions.InvalidProxyURL(
            "Please check proxy URL. It is malformed and could be missing the host.",
            request=request,
        )
    if parsed.scheme not in ("socks5", "socks5h"):
        return url, None
    socks.check_installed("requests")
    user, password = requests.utils.get_auth_from_url(url)
    return None, socks.Proxy(
        parsed.host, parsed.port or 1080, user.encode() if user else None, password.encode()
    )


# -- responses -------------------------------------------------------------------------------------


def response_of(response: messages.Response, request: Any, adapter: Adapter) -> Any:
    """Return a response as requests has it."""
    fields = urllib3.HTTPHeaderDict()
    message: http.client.HTTPMessage | None = None
    for name, value in response.headers:
        fields.add(name, value)
        if name == "set-cookie":
            if message is None:
                message = http.client.HTTPMessage()
            message.add_header(name, value)
    http2 = response.is_http2
    reason = response.reason or http.client.responses.get(response.code, "")
    original: Any = None if message is None else OriginalResponse(message)
    body: Any = Body(response)
    raw = Raw(
        body=body,
        headers=fields,
        status=response.code,
        version=20 if http2 else 11,
        reason=reason,
        preload_content=False,
        decode_content=False,
        original_response=original,
        request_method=request.method,
    )
    made: Any = Response()
    made.status_code = response.code
    made.headers = CaseInsensitiveDict(fields)
    made.encoding = get_encoding_from_headers(made.headers)
    made.raw = raw
    made.reason = reason
    made.url = request.url.decode() if isinstance(request.url, bytes) else request.url
    made.request = request
    made.connection = adapter
    requests.cookies.extract_cookies_to_jar(made.cookies, request, raw)
    return made


def translated(error: ConnectionError, request: Any) -> Exception:
    """Return the error of requests for one of ours."""
    exceptions = requests.exceptions
    kind: Any = exceptions.ConnectionError
    if isinstance(error, UsageError):
        kind = exceptions.InvalidHeader
    elif isinstance(error, ConnectTimeoutError) and not isinstance(error, PoolTimeoutError):
        kind = exceptions.ConnectTimeout
    elif isinstance(error, WriteTimeoutError):
        kind = exceptions.Timeout
    elif isinstance(error, TimeoutError):
        kind = exceptions.ReadTimeout
    elif isinstance(error, ProxyError):
        kind = exceptions.ProxyError
    elif isinstance(error, ConnectError) and isinstance(error.__cause__, ssl.SSLError):
        kind = exceptions.SSLError
    made: Exception = kind(error, request=request)
    return made
