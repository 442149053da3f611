"""Transports of httpx: `httpx.AsyncClient(transport=cno.httpx.AsyncTransport())`, and
`httpx.Client(transport=cno.httpx.Transport())`.

Where only httpx2 is installed, they are transports of httpx2; those of `cno.httpx2` always are.

Stays interpreted, because the classes derive from those of httpx.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Final

if TYPE_CHECKING:
    import httpx
else:
    try:
        import httpx
    except ImportError:
        import httpx2 as httpx

from cno.adapters.arguments import AsyncArguments, SyncArguments
from cno.adapters.package import Package
from cno.adapters.response_headers import LazyHeaders, headers_class
from cno.adapters.responses import WholeBodies, response_class
from cno.adapters.stream import BodyStream, TunnelStream
from cno.adapters.sync_stream import SyncBodyStream, SyncTunnelStream

__all__ = ["AsyncTransport", "Transport"]


class AsyncBody(BodyStream, httpx.AsyncByteStream):
    """The body of a response."""


class AsyncTunnelBody(TunnelStream, httpx.AsyncByteStream):
    """The body of a response that opens a tunnel."""


class SyncBody(SyncBodyStream, httpx.SyncByteStream):
    """The body of a response."""


class SyncTunnelBody(SyncTunnelStream, httpx.SyncByteStream):
    """The body of a response that opens a tunnel."""


class Headers(LazyHeaders, httpx.Headers):
    """The headers of a response."""

    _cno_module: ClassVar[Any] = httpx


class Response(WholeBodies, httpx.Response):
    """A response of either transport."""

    _cno_module: ClassVar[Any] = httpx
    _cno_bodies: ClassVar[tuple[Any, Any]] = (SyncBody, AsyncBody)


PACKAGE: Final = Package(httpx, response_class(httpx, Response), headers_class(httpx, Headers))


class AsyncTransport(AsyncArguments, httpx.AsyncBaseTransport):
    """A transport for `httpx.AsyncClient(transport=...)`, on asyncio.

    Takes the arguments of `httpx.AsyncHTTPTransport`, but `http2` is True by default.
    With `http1=False`, it speaks HTTP/2 without asking, in clear text too. `protocol_limits` are
    the bounds on what servers may send; for times there are the timeouts of a request.

    Raises the errors of httpx, with those of `cno` as their `__cause__`. docs/httpx.md describes
    the extensions of requests and responses.
    """

    _cno_package = PACKAGE
    _cno_streams = (AsyncBody, AsyncTunnelBody)

    if TYPE_CHECKING:

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise NotImplementedError


class Transport(SyncArguments, httpx.BaseTransport):
    """A blocking transport for `httpx.Client(transport=...)`, which threads can share.

    Its arguments, errors and extensions are those of `AsyncTransport`. It uses no event loop: see
    `cno.sync`.
    """

    _cno_package = PACKAGE
    _cno_streams = (SyncBody, SyncTunnelBody)

    if TYPE_CHECKING:

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            raise NotImplementedError
