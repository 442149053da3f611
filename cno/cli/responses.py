"""Responses with a file or a page: their fields, and what conditions and ranges make of them.

Knows fields and bodies. Must never know a path, a connection, or how a file is found.
"""

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple, Protocol

from cno.cli import pages
from cno.cli.bodies import FileBody, file_body
from cno.cli.conditions import Headers, Validators, precondition, range_applies
from cno.cli.file_cache import CachedFile
from cno.cli.ranges import Multipart, Span, content_range, multipart, parse_range
from cno.date import http_date

VARY: Final = ("vary", "accept-encoding")


class Body(Protocol):
    """A body that is made while it is sent. Its owner calls `close`."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    def close(self) -> None: ...


class Reply(NamedTuple):
    """A whole response. Its owner closes the body, unless it is bytes."""

    code: int
    headers: Headers
    body: bytes | Body


def describe(
    size: int, about: Validators, kind: str, common: Headers, *, coding: str, varies: bool
) -> Headers:
    """Return the fields of a response with a file.

    `varies`: the file can be sent in several content codings; `coding` is this one, '' for none.
    """
    # > An origin server with a clock MUST NOT generate a Last-Modified date that is later than
    # > the server's time of message origination (Date, Section 6.6.1).   (RFC 9110 8.8.2.1)
    fields = [
        ("content-type", kind),
        ("content-length", str(size)),
        ("etag", about.etag),
        ("accept-ranges", "bytes"),
    ]
    if coding:
        fields.append(("content-encoding", coding))
    fields += with_vary(common) if varies else common
    if about.modified is not None:
        modified = min(about.modified, int(time.time()))
        fields.insert(2, ("last-modified", http_date(modified)))
    return fields


def with_vary(common: Headers) -> Headers:
    """Return the fields of all responses with `Vary: accept-encoding`, beside a Vary of theirs."""
    return [*common, VARY]


def select(
    method: str, headers: Headers, file: CachedFile, source: bytes | int, common: Headers
) -> Reply:
    """Return the response that a request's conditions and ranges ask for (RFC 9110 13.2.2).

    `source` is the content, or the descriptor to read it from, which a FileBody takes over.
    """
    about, size, kind = file.validators, file.size, file.kind
    code = precondition(method, headers, about)
    varies = VARY in file.headers
    if code == 304:
        # > The server generating a 304 response MUST generate any of the following header fields
        # > that would have been sent in a 200 (OK) response to the same request: Content-Location,
        # > Date, ETag, and Vary; Cache-Control and Expires   (RFC 9110 15.4.5)
        return Reply(304, [("etag", about.etag), *(with_vary(common) if varies else common)], b"")
    if code == 412:
        return error_reply(method, 412, common)
    field = range_applies(method, headers, about, time.time())
    spans = None if field is None else parse_range(field, size)
    if spans is None:
        return Reply(200, file.headers, body_of(method, source, [Span(0, size)]))
    if not spans:
        extra = [("content-range", content_range(None, size))]
        return error_reply(method, 416, common, extra)
    if len(spans) == 1:
        fields = described(file, spans[0].size, kind)
        fields.append(("content-range", content_range(spans[0], size)))
        return Reply(206, fields, body_of(method, source, spans))
    boundary = secrets.token_hex(16)
    parts = multipart(spans, size, kind, boundary)
    fields = described(file, parts.size, f"multipart/byteranges; boundary={boundary}")
    return Reply(206, fields, body_of(method, source, pieces_of(parts)))


def described(file: CachedFile, size: int, kind: str) -> Headers:
    """Return the fields of a file for a part of it."""
    own = {"content-type": kind, "content-length": str(size)}
    return [(name, own.get(name, value)) for name, value in file.headers]


def error_reply(method: str, code: int, common: Headers, extra: Headers | None = None) -> Reply:
    """Return a response with a page about an error."""
    return page_reply(method, code, pages.error_page(code), common, extra)


def page_reply(
    method: str,
    code: int,
    page: bytes,
    common: Headers,
    extra: Headers | None = None,
    policy: str = pages.POLICY,
) -> Reply:
    """Return a response with a page of ours."""
    headers = [
        ("content-type", pages.HTML),
        ("content-length", str(len(page))),
        ("content-security-policy", policy),
        *common,
        *(extra or ()),
    ]
    return Reply(code, headers, b"" if method == "HEAD" else page)


def body_of(method: str, source: bytes | int, pieces: Sequence[bytes | Span]) -> bytes | FileBody:
    """Return the body: `pieces` of a content in memory, or of a descriptor (read when sent)."""
    if method == "HEAD":
        return b""
    if isinstance(source, int):
        return file_body(source, pieces)
    return b"".join(p if isinstance(p, bytes) else source[p.start : p.stop] for p in pieces)


def pieces_of(parts: Multipart) -> list[bytes | Span]:
    """Return the pieces of a multipart body in order."""
    pieces: list[bytes | Span] = []
    for head, span in zip(parts.heads, parts.spans, strict=True):
        pieces += (head, span)
    return [*pieces, parts.tail]
