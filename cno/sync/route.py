"""How to reach servers: directly, over a Unix socket, or through a proxy.

Makes connections that are ready for requests. Must never know what they are used for.
"""

import time
from ssl import SSLCertVerificationError, SSLContext
from typing import Final

from mypy_extensions import mypyc_attr

from cno.aio import tls
from cno.aio.client.connect_errors import CLOSED_IN_HANDSHAKE, closed_before_use, connect_error
from cno.aio.client.forward_proxy import ForwardProxy
from cno.aio.client.happy_eyeballs import SocketOptions
from cno.aio.client.proxy_environment import ProxyEnvironment, parse_proxy
from cno.aio.client.request_spec import has
from cno.aio.client.urls import Target
from cno.aio.errors import (
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    ProxyError,
    StreamError,
    StreamTimeoutError,
    said,
)
from cno.aio.fields import Headers
from cno.aio.hosts import tls_name
from cno.limits import Limits, with_windows
from cno.settings import SettingsDict
from cno.sync import connection_io, dial, messages
from cno.sync.dial import Dialing
from cno.sync.request_spec import tunnel_request
from cno.sync.state import Guard, Link
from cno.sync.timeouts import FOREVER, Deadlines
from cno.sync.transport import Transport
from cno.timeouts import Timeout
from cno.trace.hook import Tracer

#: Bytes of the content of a proxy's refusal that its error keeps.
MAX_REFUSAL_CONTENT: Final = 65_536


@mypyc_attr(allow_interpreted_subclasses=True)
class Route:
    """How to reach servers; arguments as of `cno.connect`."""

    def __init__(
        self,
        ssl_ctx: SSLContext | None,
        ssl_hostname: str | None,
        proxy: str | None,
        unix: str | None,
        proxy_ssl_ctx: SSLContext | None = None,
        proxy_tunnel: bool = False,
        options: SocketOptions | None = None,
        proxy_headers: Headers | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        if proxy is not None and unix is not None:
            raise ValueError("either a proxy or a Unix socket, not both")
        self._own = ssl_ctx
        self._context: SSLContext | None = None
        self._http1_context: SSLContext | None = None
        self._hostname = None if ssl_hostname is None else tls_name(ssl_hostname)
        self._environment = ProxyEnvironment() if proxy == "env" else None
        self._proxy = None if proxy is None or proxy == "env" else parse_proxy(proxy)
        self._proxy_own = proxy_ssl_ctx
        self._proxy_context: SSLContext | None = None
        self._proxy_tunnel = proxy_tunnel
        self._proxy_fields: Headers = [] if proxy_headers is None else proxy_headers
        self._unix_path = unix
        self._options = options
        self._tracer = tracer

    def can_require_http1(self) -> bool:
        """Return whether a connection over TLS can offer HTTP/1.1 alone."""
        return self._own is None or tls.HTTP1 in tls.offered_protocols(self._tls())

    def proxy_for(self, target: Target) -> Target | None:
        """Return the proxy for requests to `target`; None: connect directly.

        Raises ValueError if the environment names a malformed proxy.
        """
        if self._environment is not None:
            return self._environment.proxy_for(target)
        return self._proxy

    def _tls(self) -> SSLContext:
        if self._context is None:
            if self._own is not None:
                tls.offer_protocols(self._own)
            self._context = tls.default_context() if self._own is None else self._own
        return self._context

    def _http1_tls(self) -> SSLContext:
        if self._http1_context is None:
            own = self._own
            self._http1_context = tls.http1_context() if own is None else tls.Http1Context.of(own)
        return self._http1_context

    def _proxy_tls(self) -> SSLContext:
        """Return the context for TLS to a proxy, which offers HTTP/1.1 alone if it can."""
        if self._proxy_context is None:
            own = self._proxy_own
            if own is None:
                self._proxy_context = tls.http1_context()
            elif tls.HTTP1 in tls.offered_protocols(own):
                self._proxy_context = tls.Http1Context.of(own)
            else:
                self._proxy_context = own
        return self._proxy_context

    def connect(
        self,
        target: Target,
        dialing: Dialing,
        guard: Guard,
        force_http2: bool,
        settings: SettingsDict | None,
        limits: Limits,
        http1_only: bool = False,
    ) -> Link:
        """Return a connection to the server of `target`, ready for requests.

        `http1_only`: offer HTTP/1.1 alone over TLS. Raises OSError, ConnectError among them, and
        DialCancelledError.
        """
        context: SSLContext | None = None
        name = self._hostname or target.server_name
        if target.scheme == "https":
            context = self._http1_tls() if http1_only else self._tls()
        forward: ForwardProxy | None = None
        early = b""
        transport: Transport | None = None
        try:
            proxy = self.proxy_for(target)
            if proxy is not None:
                transport = self._to_proxy(dialing, proxy)
                tunnels = self._proxy_tunnel or target.needs_tunnel
                if context is not None or force_http2 or tunnels:
                    early = open_tunnel(
                        dialing, transport, proxy, target, limits, self._proxy_fields
                    )
                    if early and context is not None:
                        raise ProxyError("the proxy sent data before the TLS handshake")
                else:
                    forward = ForwardProxy(proxy.credentials, self._proxy_fields)
            else:
                transport = self._open(dialing, target)
            if context is not None:
                self._secure(dialing, transport, context, name)
            link = Link(guard, transport, target.authority, target.scheme, limits, settings)
        except BaseException:
            if transport is not None:
                transport.close()
            dialing.waker.close()
            raise
        link.forward_proxy = forward
        link.credentials = target.credentials
        link.force_http2 = force_http2
        begin_link(link, target, force_http2, early, context is not None, self._tracer)
        return link

    def _open(self, dialing: Dialing, target: Target) -> Transport:
        """Return a transport to a server, without TLS."""
        if self._unix_path is not None:
            return dial.connected_to_path(dialing, self._unix_path)
        return dial.connected(dialing, target.host, target.port, self._options)

    def _secure(
        self, dialing: Dialing, transport: Transport, context: SSLContext, name: str | None
    ) -> None:
        dial.secure(dialing, transport, context, name)

    def _to_proxy(self, dialing: Dialing, proxy: Target) -> Transport:
        """Connect to the proxy itself. Raises ProxyError."""
        transport: Transport | None = None
        problem: OSError
        try:
            transport = dial.connected(dialing, proxy.host, proxy.port, self._options)
            if proxy.scheme == "https":
                dial.secure(dialing, transport, self._proxy_tls(), proxy.server_name)
                if transport.session.selected_alpn_protocol() == "h2":
                    raise ProxyError(
                        "the proxy chose HTTP/2: proxy_ssl_ctx must offer http/1.1 by ALPN"
                    )
            return transport
        except ConnectError:
            if transport is not None:
                transport.close()
            raise
        except OSError as error:
            if transport is not None:
                transport.close()
            problem = error
        raise proxy_connect_error(proxy, problem)


def begin_link(
    link: Link,
    target: Target,
    force_http2: bool,
    early: bytes,
    is_secure: bool,
    tracer: Tracer | None = None,
) -> None:
    """Begin HTTP over a connection that has been made."""
    http2 = force_http2
    if is_secure:
        http2 = http2 or link.transport.session.selected_alpn_protocol() == "h2"
    guard = link.guard
    guard.check()
    with guard.lock:
        connection_io.begin(guard)
        try:
            connection_io.start(link, http2, tracer)
        except Exception:
            guard.inside = False  # an interrupt leaves it set
            link.transport.close()
            raise
        if not is_secure:
            link.scheme = target.scheme  # TLS, if there is any, ends at the proxy
        if early:
            connection_io.take_clear(link, early)
        guard.inside = False


def proxy_connect_error(proxy: Target, error: OSError) -> ProxyError:
    """Return the error for a proxy that cannot be connected to."""
    what = said(error)
    if type(error) is ConnectionResetError and not error.args:
        what = CLOSED_IN_HANDSHAKE
    failure = ProxyError(f"cannot connect to the proxy {proxy.authority}: {what}")
    failure.retryable = not isinstance(error, SSLCertVerificationError)
    failure.__cause__ = error.with_traceback(None)  # not by `raise ... from`, for mypyc
    return failure


def open_tunnel(
    dialing: Dialing,
    transport: Transport,
    proxy: Target,
    target: Target,
    limits: Limits,
    more: Headers,
) -> bytes:
    """Have a proxy open a tunnel to `target`; return the bytes that followed its response."""
    fields: Headers = [(":authority", target.address), *more]
    if proxy.credentials is not None and not has(fields, "proxy-authorization"):
        fields.append(("proxy-authorization", proxy.credentials))
    link = Link(Guard(), transport, proxy.authority, "http", limits, None)
    link.times.expiry = dialing.cancelled
    begin_link(link, proxy, False, b"", False)
    left = max(0.001, dialing.until - time.monotonic())
    patience = Timeout(None if left == FOREVER else left)
    deadlines = Deadlines(limits, patience)
    problem: ConnectError
    try:
        response = messages.send(link, tunnel_request("CONNECT", "", fields), deadlines)
        if 200 <= response.code < 300:
            link.guard.links.clear()
            return messages.taken(response)
        problem = refusal_error(response, target)
    except StreamTimeoutError as late:
        dialing.check()
        problem = ConnectTimeoutError(f"the proxy does not answer: {late.strerror}")
        problem.limit = late.limit
    except StreamError as fault:
        problem = ProxyError(f"the proxy's answer is not accepted: {fault.strerror}")
        problem.rule = fault.rule
        problem.limit = fault.limit
        problem.retryable = False
    except ConnectionLostError as lost:
        dialing.check()  # it was cancelled, perhaps
        problem = ProxyError(f"the proxy is gone: {said(lost)}")
    raise problem


def refusal_error(response: "messages.Response", target: Target) -> ProxyError:
    """Return the error for a proxy that responded with another status than 2xx."""
    content = bytearray()
    limits = response._link._limits
    response._deadlines = Deadlines(limits, Timeout(limits.linger_timeout))
    try:
        while len(content) < MAX_REFUSAL_CONTENT:
            piece = response._read_some(MAX_REFUSAL_CONTENT - len(content))
            if not piece:
                break
            content += piece
    except OSError:
        pass  # the error keeps the part that has come
    reason = f" {response.reason}" if response.reason else ""
    return ProxyError(
        f"the proxy answers {response.code}{reason} for {target.address}",
        code=response.code,
        reason=response.reason,
        headers=response.headers,
        content=bytes(content),
    )


def dialed(
    route: Route,
    target: Target,
    guard: Guard,
    force_http2: bool,
    settings: SettingsDict | None,
    limits: Limits,
    deadlines: Deadlines,
    http1_only: bool = False,
) -> Link:
    """Return a connection for one user. Raises ConnectError as `cno.connect` does."""
    problem: OSError
    try:
        link = route.connect(
            target, Dialing(deadlines), guard, force_http2, settings, limits, http1_only
        )
        if not was_closed(link):
            return link
        problem = closed_before_use(link._end_reason, link.goaway_code())
    except OSError as error:
        problem = error
    raise connect_error(target, problem)


def was_closed(link: Link) -> bool:
    """Return whether the server has ended a connection before its first request."""
    guard = link.guard
    with guard.lock:
        connection_io.begin(guard)
        connection_io.read_now(link)
        closed = not link.is_open()
        if closed:
            connection_io.abort(link)
        guard.inside = False
    return closed


def client_limits(limits: Limits | None, usual: Limits) -> Limits:
    """Return the limits of a connection, with the windows of a client."""
    return usual if limits is None else with_windows(limits, usual)
