"""The answer to plain HTTP on a TLS port: a sentence instead of a connection that just ends.

Knows `ssl`. Must never know a connection.
"""

import ssl
from typing import Any, Final

from cno.aio import tls

_TEXT: Final = b"This port speaks TLS: the URL begins with https:\n"
ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(_TEXT), _TEXT)
)


class HttpsSocket(ssl.SSLObject):
    """The TLS of one connection, which answers a client that begins with an HTTP request."""

    outgoing: ssl.MemoryBIO | None = None
    _refused: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._refused is not None:  # the client has sent more, or has gone
            raise self._refused
        try:
            super().do_handshake()
        except ssl.SSLError as error:
            if error.reason != "HTTP_REQUEST" or self.outgoing is None:
                raise
            self._refused = error
            self.outgoing.write(ANSWER)
            # The event loop now writes what is in `outgoing`, and waits for the client to close.
            raise ssl.SSLWantReadError from None


class HttpsContext(ssl.SSLContext):
    """A server's TLS context; see `HttpsSocket`."""

    sslobject_class = HttpsSocket

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **kwargs: Any
    ) -> ssl.SSLObject:
        made = super().wrap_bio(incoming, outgoing, *args, **kwargs)
        if isinstance(made, HttpsSocket):
            made.outgoing = outgoing
        return made


def https_context() -> HttpsContext:
    """Return a server's context without a certificate."""
    context = HttpsContext(ssl.PROTOCOL_TLS_SERVER)
    tls.harden(context)
    return context
