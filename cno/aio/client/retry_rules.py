"""Which requests may be sent again although the server may have acted on them (RFC 9110 9.2.2).

Knows how a client's connection ended. Must never know how a request is sent again.
"""

from cno.aio.client.response_state import ResponseState
from cno.aio.client.state import ClientLink, goaway_code
from cno.aio.errors import StreamError
from cno.const import CNO_RST_HTTP_1_1_REQUIRED, MAX_STREAM_ID
from cno.headers import IDEMPOTENT


def requires_http1(error: Exception) -> bool:
    """Return whether the server asks for HTTP/1.1 in place of HTTP/2 (RFC 9113 7)."""
    if not isinstance(error, StreamError):
        return False
    return error.retryable and error.code == CNO_RST_HTTP_1_1_REQUIRED


def may_repeat(conn: ClientLink, response: ResponseState | None, method: str) -> bool:
    """Return whether a request without a response may be sent once more, over another connection.

    It may if its method is idempotent, its connection had delivered responses before, and the peer
    ended that without a byte of response: most often because it had been idle for too long.
    """
    # > ... if a client sends a PUT request and the underlying connection is closed before any
    # > response is received, then the client can establish a new connection and retry the
    # > idempotent request.   (RFC 9110 9.2.2)
    if response is None or response.code != 0 or response.informational:
        return False
    if not conn._life.hung_up or method not in IDEMPOTENT:
        return False
    if goaway_code(conn) == CNO_RST_HTTP_1_1_REQUIRED:
        return True
    ended = conn._http2 and conn._h2.goaway_received <= MAX_STREAM_ID
    return response._reused and not ended
