"""Transports of httpx2: `httpx2.AsyncClient(transport=cno.httpx2.AsyncTransport())`, and
`httpx2.Client(transport=cno.httpx2.Transport())`.

Stays interpreted, because the classes derive from those of httpx2.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Final

import httpx2

from cno.adapters.arguments import AsyncArguments, SyncArguments
from cno.adapters.package import Package
from cno.adapters.response_headers import LazyHeaders, headers_class
from cno.adapters.responses import WholeBodies, response_class
from cno.adapters.stream import BodyStream, TunnelStream
from cno.adapters.sync_stream import SyncBodyStream, SyncTunnelStream

__all__ = ["AsyncTransport", "Transport"]


class AsyncBody(BodyStream, httpx2.AsyncByteStream):
    """The body of a response."""


class AsyncTunnelBody(TunnelStream, httpx2.AsyncByteStream):
    """The body of a response that opens a tunnel."""


class SyncBody(SyncBodyStream, httpx2.SyncByteStream):
    """The body of a response."""


class SyncTunnelBody(SyncTunnelStream, httpx2.SyncByteStream):
    """The body of a response that opens a tunnel."""


class Headers(LazyHeaders, httpx2.Headers):
    """The headers of a response."""

    _cno_module: ClassVar[Any] = httpx2


class Response(WholeBodies, httpx2.Response):
    """A response of either transport."""

    _cno_module: ClassVar[Any] = httpx2
    _cno_bodies: ClassVar[tuple[Any, Any]] = (SyncBody, AsyncBody)


PACKAGE: Final = Package(httpx2, response_class(httpx2, Response), headers_class(httpx2, Headers))


class AsyncTransport(AsyncArguments, httpx2.AsyncBaseTransport):
    """A transport for `httpx2.AsyncClient(transport=...)`, on asyncio.

    Takes the arguments of `httpx2.AsyncHTTPTransport`, but `http2` is True by default.
    With `http1=False`, it speaks HTTP/2 without asking, in clear text too. `protocol_limits` are
    the bounds on what servers may send; for times there are the timeouts of a request.

    Raises the errors of httpx2, with those of `cno` as their `__cause__`. docs/httpx.md describes
    the extensions of requests and responses.
    """

    _cno_package = PACKAGE
    _cno_streams = (AsyncBody, AsyncTunnelBody)

    if TYPE_CHECKING:

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise NotImplementedError


class Transport(SyncArguments, httpx2.BaseTransport):
    """A blocking transport for `httpx2.Client(transport=...)`, which threads can share.

    Its arguments, errors and extensions are those of `AsyncTransport`. It uses no event loop: see
    `cno.sync`.
    """

    _cno_package = PACKAGE
    _cno_streams = (SyncBody, SyncTunnelBody)

    if TYPE_CHECKING:

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            raise NotImplementedError
