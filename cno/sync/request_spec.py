"""Requests before they are sent: fields, body, trailers.

Must never know a connection.
"""

from cno.aio.client.request_spec import expects_continue, without_expectation
from cno.aio.fields import Headers, with_length
from cno.aio.sources import whole_body
from cno.sync.sources import Body, Source, source_of


class RequestSpec:
    """A request, independent of the connection that it is sent on. Raises TypeError for an invalid
    body, ValueError for a file that cannot be read."""

    def __init__(
        self, method: str, path: str, fields: Headers, data: Body, trailers: Headers | None
    ) -> None:
        self.method = method
        self.path = path
        self.trailers = trailers
        self.source: Source | None = None  # a body that comes piece by piece
        self.body = b""
        if isinstance(data, bytes):
            self.body = data
        else:
            self.source = source_of(data)
            if self.source is None:
                self.body = whole_body(data)
        source = self.source
        size = len(self.body) if source is None else source.size
        if size == 0:
            self.source = None  # an empty file
        if size > 0 and not trailers:
            fields = with_length(fields, size)
        self.empty = not self.body and self.source is None and not trailers
        self.awaits_continue = expects_continue(fields)
        if self.empty and self.awaits_continue:
            fields = without_expectation(fields)
            self.awaits_continue = False
        self.fields = fields

    def dispose(self) -> None:
        """Close the body: the request is not sent again."""
        if self.source is not None:
            self.source.close()


def tunnel_request(method: str, path: str, fields: Headers) -> RequestSpec:
    """Return a request whose stream stays open."""
    spec = RequestSpec(method, path, fields, b"", None)
    spec.empty = False
    return spec
