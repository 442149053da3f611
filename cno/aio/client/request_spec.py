"""Requests as they are going to be sent: what their fields, bodies and ends are.

Knows what HTTP asks of a request. Must never know a connection.
"""

from collections.abc import AsyncIterable

from cno.aio.client.request_observer import RequestObserver
from cno.aio.fields import Headers, with_length
from cno.aio.sources import Body, size_of, source_of, whole_body


class RequestSpec:
    """A request as it is going to be sent, on whichever connection. Raises TypeError for bodies of
    no kind, ValueError for files that cannot be read."""

    def __init__(
        self,
        method: str,
        path: str,
        fields: Headers,
        data: Body,
        trailers: Headers | None,
        observer: RequestObserver | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.trailers = trailers
        self.source: AsyncIterable[bytes] | None = None  # a body that comes piece by piece
        self.body = b""
        if isinstance(data, bytes):
            self.body = data
        else:
            self.source = source_of(data)
            if self.source is None:
                self.body = whole_body(data)
        size = len(self.body) if self.source is None else size_of(self.source)
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
        self.observer = observer

    def set_source(self, source: AsyncIterable[bytes]) -> None:
        """Have the body read from another source, which reads the one so far."""
        self.source = source


def tunnel_request(method: str, path: str, fields: Headers) -> RequestSpec:
    """A request without end."""
    spec = RequestSpec(method, path, fields, b"", None)
    spec.empty = False
    return spec


def completed(fields: Headers, authority: str | None, credentials: str | None) -> Headers:
    """Headers with an authority, and with credentials, unless they have their own."""
    if credentials is not None and not has(fields, "authorization"):
        fields = [*fields, ("authorization", credentials)]
    if authority is None or has(fields, ":authority") or has(fields, "host"):
        return fields
    return [(":authority", authority), *fields]


def authority_of(fields: Headers) -> str:
    """Return the authority that a request names; '' if it names none."""
    for name, value in fields:
        if name.lower() in (":authority", "host"):
            return value
    return ""


def has(fields: Headers, wanted: str) -> bool:
    """Whether there is a field of that name."""
    for name, _ in fields:
        if len(name) == len(wanted) and name.lower() == wanted:
            return True
    return False


def without_expectation(fields: Headers) -> Headers:
    """Return the fields of a request that has no content after all."""
    # > A client MUST NOT generate a 100-continue expectation in a request that does not include
    # > content.   (RFC 9110 10.1.1)
    return [field for field in fields if field[0].lower() != "expect"]


def expects_continue(fields: Headers) -> bool:
    """Whether the body is to wait for a 100 (RFC 9110 10.1.1)."""
    for name, value in fields:
        if len(name) == 6 and name.lower() == "expect":
            return value.lower() == "100-continue"
    return False
