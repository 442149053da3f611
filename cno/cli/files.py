"""The handler that serves a folder: `await cno.serve(Files("public"), "127.0.0.1", 8000)`.

Knows how to answer for a file: methods, conditions, ranges, folders, errors. Must never know
sockets, protocols or the command line. Of a request it uses only the attributes of `FileRequest`.
"""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterable, Callable, Sequence
from errno import EACCES, EMFILE, ENFILE, ENOMEM, EPERM
from functools import partial
from typing import Final, NamedTuple, Protocol

from cno.cli import pages
from cno.cli.bodies import FileBody, file_body, read_all, sent
from cno.cli.conditions import (
    CONDITIONAL,
    Headers,
    Validators,
    precondition,
    range_applies,
    validators,
)
from cno.cli.content_types import SNIFFED, UNKNOWN, content_type, sniffed
from cno.cli.file_cache import CachedFile, FileCache, signature
from cno.cli.listing_cache import ListingCache
from cno.cli.paths import Opened, Refused, open_inside, parse_target
from cno.cli.ranges import Multipart, Span, content_range, multipart, parse_range
from cno.cli.reserve import Reserve
from cno.cli.site import CHALLENGE, Site, is_navigation
from cno.date import http_date

ALLOW: Final = ("allow", "GET, HEAD, OPTIONS")
#: Bytes of the largest file that is read at once and may be cached.
SMALL_FILE: Final = 131_072
#: Bytes of an unwanted upload that are read before it is refused, and seconds spent on reading.
MAX_SKIMMED: Final = 65_536
SKIM_TIME: Final = 0.5


class FileRequest(Protocol):
    """The attributes that this handler needs of a request. `cno.Request` has them."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def payload(self) -> asyncio.StreamReader: ...
    async def respond(
        self, code: int, headers: Headers, data: bytes | AsyncIterable[bytes], /
    ) -> object: ...


#: Called after each response with the request, the status, the bytes of body sent, and seconds.
Log = Callable[[FileRequest, int, int, float], None]


class Reply(NamedTuple):
    """A whole response. Its owner closes the body if it is a FileBody."""

    code: int
    headers: Headers
    body: bytes | FileBody


class Files:
    """A handler that answers GET and HEAD with the files below `root`.

    It serves no hidden files, and no links that lead out of the folder. `index`: the file that is
    served for its folder. `listing`: whether a folder without an index is listed. `cache_size`:
    bytes of small files cached in memory; 0: none. `allow_host`: returns whether to answer for an
    authority (a host, perhaps with a port); others get 421. `root` may be a link: it is followed
    for each request, so that a deployment can switch it. The constructor raises NotADirectoryError
    or FileNotFoundError if `root` is not a folder. `reserve`: descriptors held back for files.
    `site`: see `Site`. A path without a file is tried with `.html` at its end; if there is none,
    `404.html` in the root is the body of the 404 response.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        index: str = "index.html",
        listing: bool = True,
        cache_control: str | None = "no-cache",
        cache_size: int = 32 << 20,
        log: Log | None = None,
        allow_host: Callable[[str], bool] | None = None,
        reserve: Reserve | None = None,
        site: Site | None = None,
    ) -> None:
        self.root = os.path.abspath(root)
        if not os.path.isdir(os.path.realpath(root, strict=True)):
            raise NotADirectoryError(f"not a folder: {self.root}")
        self._index = index
        self._listing = listing
        self._catalog = ListingCache(self.root)
        self._site = Site() if site is None else site
        self._common: Headers = self._site.fields(cache_control)
        self._log = log
        self._allow_host = allow_host
        self._reserve = Reserve(0) if reserve is None else reserve
        self._cache = FileCache(cache_size)

    async def __call__(self, request: FileRequest) -> None:
        """Answer one request."""
        began = time.perf_counter()
        reply = self._refused(request) or self._cached_reply(request)
        if reply is None:
            reply = await self.reply(request)
        body = reply.body
        try:
            await request.respond(reply.code, reply.headers, body)
        finally:
            if not isinstance(body, bytes):
                body.close()
                self._reserve.refill()
            if self._log is not None:
                self._log(request, reply.code, sent(body), time.perf_counter() - began)

    async def reply(self, request: FileRequest) -> Reply:
        """Return the response. The caller closes its body if that is a FileBody."""
        method = request.method
        if method == "OPTIONS":
            return Reply(204, [ALLOW, *self._common, *self._site.preflight()], b"")
        if method not in ("GET", "HEAD"):
            await skim(request)
            return self._error(method, 405, [ALLOW])
        try:
            return self._find(request) or await self._list(request)
        except Refused as refused:
            code = refused.code
        except OSError as error:
            code = _status(error)
        if code == 404:
            return self._missing(request)
        return self._error(method, code, [("retry-after", "1")] if code == 503 else None)

    def _refused(self, request: FileRequest) -> Reply | None:
        """Return the response to a request for another host (421), or without the credentials."""
        reply = self._misdirected(request)
        if reply is None and not self._site.admits(request.headers):
            if request.method == "OPTIONS" and self._site.cors:
                return None  # browsers send no credentials with a preflight
            reply = self._error(request.method, 401, [CHALLENGE])
        return reply

    def _misdirected(self, request: FileRequest) -> Reply | None:
        """Return the 421 response to a request for another host; None if the host is allowed."""
        # > The 421 (Misdirected Request) status code indicates that the request was directed at a
        # > server that is unable or unwilling to produce an authoritative response for the target
        # > URI.   (RFC 9110 15.5.20)
        if self._allow_host is None:
            return None
        for name, value in request.headers:
            if name == ":authority" and not self._allow_host(value):
                return self._error(request.method, 421)
        return None

    # -- finding the file --------------------------------------------------------------------------

    def _find(self, request: FileRequest) -> Reply | None:
        """Return the response with a file or a folder's index; None: list the folder."""
        segments, slash = parse_target(request.path)
        try:
            found = self._open(segments)
        except FileNotFoundError:
            if slash or not segments or segments[-1].endswith(".html"):
                raise
            segments[-1] += ".html"
            found = self._open(segments)
            if found.is_folder:
                if found.fd >= 0:
                    os.close(found.fd)
                raise
            return self._file(request, found, segments, keep=False)
        if not found.is_folder:
            if slash:
                os.close(found.fd)
                raise Refused(404)
            return self._file(request, found, segments)
        if found.fd >= 0:
            os.close(found.fd)
        if not slash:
            return self._to_folder(request, segments)
        try:
            found = self._open([*segments, self._index])
        except FileNotFoundError:
            if self._listing:
                return None
            raise Refused(403) from None
        if found.is_folder:
            os.close(found.fd)
            raise Refused(403)
        return self._file(request, found, [*segments, self._index])

    def _open(self, segments: list[str]) -> Opened:
        if self._reserve.is_used:
            self._cache.close()
        return self._reserve.retry(partial(open_inside, self.root, segments))

    def _missing(self, request: FileRequest) -> Reply:
        """Return the response for a path without a file."""
        try:
            if self._site.single_page and is_navigation(request.path, request.headers):
                found = self._open([self._index])
                if not found.is_folder:
                    return self._file(request, found, [self._index], keep=False)
                os.close(found.fd)
            found = self._open(["404.html"])
        except (Refused, OSError):
            return self._error(request.method, 404)
        try:
            if found.is_folder or found.info.st_size > SMALL_FILE:
                return self._error(request.method, 404)
            page = read_all(found.fd, 0, found.info.st_size)
        finally:
            if found.fd >= 0:
                os.close(found.fd)
        fields = [("content-type", pages.HTML), ("content-length", str(len(page)))]
        return Reply(404, [*fields, *self._common], b"" if request.method == "HEAD" else page)

    def _to_folder(self, request: FileRequest, segments: list[str]) -> Reply:
        """Redirect to the same path with a slash, rebuilt from names to stay on this host."""
        _, mark, query = request.path.partition("?")
        target = pages.link(segments) + "/" + mark + query
        return self._error(request.method, 308, [("location", target)])

    async def _list(self, request: FileRequest) -> Reply:
        page = await self._catalog.page(parse_target(request.path).segments)
        return self._page(request.method, 200, page)

    # -- building the response ---------------------------------------------------------------------

    def _file(
        self, request: FileRequest, found: Opened, segments: list[str], *, keep: bool = True
    ) -> Reply:
        """Return the response for an open file. Closes the descriptor or passes it to the body.

        `keep`: the path of the request is that of the file, which may be cached under it.
        """
        fd, info = found
        passed_on = False
        try:
            about = validators(info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
            kind = content_type(segments[-1])
            if kind == UNKNOWN and "." not in segments[-1]:
                kind = sniffed(read_all(fd, 0, SNIFFED))
            path = os.path.join(self.root, *segments)
            if info.st_size > SMALL_FILE:
                fields = self._described(info.st_size, about, kind)
                if keep and not self._reserve.is_used:
                    self._cache.add_open(
                        _key(request.path),
                        CachedFile(path, signature(info), fields, fd, info.st_size, kind, about),
                        fd,
                    )
                reply = self._select(request, info.st_size, about, kind, fd)
                passed_on = not isinstance(reply.body, bytes)
                return reply
            data = read_all(fd, 0, info.st_size)
            if len(data) != info.st_size:  # it is being rewritten: give this content its own tag
                about = validators(len(data), time.time_ns(), time.time_ns(), info.st_ino)
            elif keep and signature(os.fstat(fd)) == signature(info):
                cached = CachedFile(
                    path,
                    signature(info),
                    self._described(len(data), about, kind),
                    data,
                    len(data),
                    kind,
                    about,
                )
                self._cache.add(_key(request.path), cached)
            return self._select(request, len(data), about, kind, data)
        finally:
            if not passed_on:
                os.close(fd)

    def _select(
        self, request: FileRequest, size: int, about: Validators, kind: str, source: bytes | int
    ) -> Reply:
        """Return the response that the request's conditions and ranges ask for (RFC 9110 13.2.2).

        `source` is the content, or the descriptor to read it from.
        """
        method = request.method
        code = precondition(method, request.headers, about)
        if code == 304:
            return Reply(304, [("etag", about.etag), *self._common], b"")
        if code == 412:
            return self._error(method, 412)
        field = range_applies(method, request.headers, about, time.time())
        spans = None if field is None else parse_range(field, size)
        if spans is None:
            headers = self._described(size, about, kind)
            return Reply(200, headers, _body(method, source, [Span(0, size)]))
        if not spans:
            return self._error(method, 416, [("content-range", content_range(None, size))])
        if len(spans) == 1:
            headers = self._described(spans[0].size, about, kind)
            headers.append(("content-range", content_range(spans[0], size)))
            return Reply(206, headers, _body(method, source, spans))
        boundary = secrets.token_hex(16)
        parts = multipart(spans, size, kind, boundary)
        kind = f"multipart/byteranges; boundary={boundary}"
        headers = self._described(parts.size, about, kind)
        return Reply(206, headers, _body(method, source, _pieces_of(parts)))

    def _described(self, size: int, about: Validators, kind: str) -> Headers:
        # > An origin server with a clock MUST NOT generate a Last-Modified date that is later than
        # > the server's time of message origination (Date, Section 6.6.1).   (RFC 9110 8.8.2.1)
        fields = [
            ("content-type", kind),
            ("content-length", str(size)),
            ("etag", about.etag),
            ("accept-ranges", "bytes"),
            *self._common,
        ]
        if about.modified is not None:
            modified = min(about.modified, int(time.time()))
            fields.insert(2, ("last-modified", http_date(modified)))
        return fields

    def _error(self, method: str, code: int, headers: Headers | None = None) -> Reply:
        return self._page(method, code, pages.error_page(code), headers)

    def _page(self, method: str, code: int, page: bytes, extra: Headers | None = None) -> Reply:
        headers = [
            ("content-type", pages.HTML),
            ("content-length", str(len(page))),
            ("content-security-policy", pages.POLICY),
            *self._common,
            *(extra or ()),
        ]
        return Reply(code, headers, b"" if method == "HEAD" else page)

    def _cached_reply(self, request: FileRequest) -> Reply | None:
        """Return the response for a cached file that has not changed; None: look at the disk."""
        method = request.method
        if method not in ("GET", "HEAD"):
            return None
        cached = self._cache.get(_key(request.path))
        if cached is None:
            return None
        try:
            return self._reply_from(cached, request)
        except OSError:
            return None  # there are no descriptors left: `reply` finds the status for that

    def _reply_from(self, cached: CachedFile, request: FileRequest) -> Reply:
        for name, _ in request.headers:
            if name in CONDITIONAL:
                source = (
                    cached.source if isinstance(cached.source, bytes) else os.dup(cached.source)
                )
                reply = self._select(request, cached.size, cached.validators, cached.kind, source)
                if isinstance(source, int) and isinstance(reply.body, bytes):
                    os.close(source)
                return reply
        return Reply(200, cached.headers, cached.body(request.method))

    def close(self) -> None:
        """Close the descriptors of cached files, and forget these files."""
        self._cache.close()


async def skim(request: FileRequest) -> None:
    """Read the beginning of an upload that will be refused.

    A server may end the stream before the client has sent its whole request (RFC 9113 8.1), but
    some clients report that as a failure and do not read the response.
    """
    if any(name == "expect" for name, _ in request.headers):
        return  # the client waits for 100 (Continue) and has sent nothing
    left = MAX_SKIMMED
    try:
        async with asyncio.timeout(SKIM_TIME):
            while left > 0 and (chunk := await request.payload.read(left)):
                left -= len(chunk)
    except TimeoutError:
        pass


def _key(target: str) -> str:
    """Return the key of a target in the cache: its path, without the query."""
    return target.partition("?")[0] if "?" in target else target


def _body(method: str, source: bytes | int, pieces: Sequence[bytes | Span]) -> bytes | FileBody:
    """Return the body: `pieces` of a content in memory, or of a descriptor (read when sent)."""
    if method == "HEAD":
        return b""
    if isinstance(source, int):
        return file_body(source, pieces)
    return b"".join(p if isinstance(p, bytes) else source[p.start : p.stop] for p in pieces)


def _pieces_of(parts: Multipart) -> list[bytes | Span]:
    """Return the pieces of a multipart body in order."""
    pieces: list[bytes | Span] = []
    for head, span in zip(parts.heads, parts.spans, strict=True):
        pieces += (head, span)
    return [*pieces, parts.tail]


def _status(error: OSError) -> int:
    """Return the HTTP status for a failed system call."""
    if error.errno in (EACCES, EPERM):
        return 403
    return 503 if error.errno in (EMFILE, ENFILE, ENOMEM) else 404
