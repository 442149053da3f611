"""Which requests may be sent again although the server may have acted on them (RFC 9110 9.2.2).

Knows how a client's connection ended. Must never know who sends a request again, or where.
"""

from typing import TYPE_CHECKING

from cno.aio.errors import StreamError
from cno.const import CNO_RST_HTTP_1_1_REQUIRED, MAX_STREAM_ID
from cno.headers import IDEMPOTENT

if TYPE_CHECKING:
    from cno.aio.client.connection import Client
    from cno.aio.messages import Response


def requires_http1(error: Exception) -> bool:
    """Return whether the server asks for HTTP/1.1 in place of HTTP/2 (RFC 9113 7)."""
    if not isinstance(error, StreamError):
        return False
    return error.retryable and error.code == CNO_RST_HTTP_1_1_REQUIRED


def is_repeatable(client: "Client", response: "Response | None", method: str) -> bool:
    """Whether a request without a response may be sent once more, over another connection.

    That is so if its method is idempotent, and its connection, over which others had been answered
    before it was sent, was ended by the peer without a byte of answer: it had been idle for too
    long, say.
    """
    # > ... if a client sends a PUT request and the underlying connection is closed before any
    # > response is received, then the client can establish a new connection and retry the
    # > idempotent request.   (RFC 9110 9.2.2)
    if response is None or response.code != 0 or response.informational:
        return False
    if not client._life.hung_up or method not in IDEMPOTENT:
        return False
    if client._goaway_code() == CNO_RST_HTTP_1_1_REQUIRED:
        return True
    ended = client._http2 and client._h2.goaway_received <= MAX_STREAM_ID
    return response._reused and not ended
