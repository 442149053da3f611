"""The handler that serves a folder: `await cno.serve(Files("public"), "127.0.0.1", 8000)`.

Knows how to answer for a file: methods, conditions, ranges, folders, errors. Must never know
sockets, protocols or the command line. Of a request it uses only the attributes of `FileRequest`.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterable, Callable
from errno import EACCES, EMFILE, ENFILE, ENOMEM, EPERM
from typing import Final, NamedTuple, Protocol

from cno.cli import pages
from cno.cli.archive import KINDS, Archives, asked_archive, attachment
from cno.cli.bodies import read_all, sent
from cno.cli.conditions import CONDITIONAL, Headers, combined
from cno.cli.file_cache import CachedFile
from cno.cli.file_store import SMALL_FILE, FileStore
from cno.cli.listing_cache import ListingCache
from cno.cli.listing_page import parse_order
from cno.cli.live_reload import LiveReload
from cno.cli.paths import Folder, Opened, Refused
from cno.cli.reserve import Reserve
from cno.cli.responses import VARY, Reply, error_reply, page_reply, select
from cno.cli.site import CHALLENGE, Site, is_navigation, navigation_vary
from cno.cli.uploads import Receiver, UploadRules, receiver

ALLOW: Final = ("allow", "GET, HEAD, OPTIONS")
ALLOW_UPLOAD: Final = ("allow", "GET, HEAD, OPTIONS, PUT")
#: Bytes of an unwanted upload that are read before it is refused, and seconds spent on reading.
MAX_SKIMMED: Final = 65_536
SKIM_TIME: Final = 0.5

# Further fields of errors.
_MORE: Final[dict[int, Headers]] = {406: [VARY], 503: [("retry-after", "1")]}
#: Fields that make the response to a GET or HEAD something other than the file as it is.
_SELECTING: Final = CONDITIONAL | {"accept-encoding"}


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


class Found(NamedTuple):
    """An open file, its names from the root down, and the key under which to keep it."""

    opened: Opened
    segments: list[str]
    key: str


class Files:
    """A handler that answers GET and HEAD with the files below `root`.

    It serves no hidden files, unless `hidden` is true, and no links that lead out of the folder,
    unless `follow_links` is. `root` may be a link: it is followed for each request, so that a
    deployment can switch it. It may be a file, which is then all there is. The constructor raises
    FileNotFoundError or NotADirectoryError if it is neither.

    `index`: the file that is served for its folder. `listing`: whether a folder without an index is
    listed. `cache_size`: bytes of small files cached in memory; 0: none. `allow_host`: returns
    whether to answer for an authority (a host, perhaps with a port); others get 421. `reserve`:
    descriptors held back for files. `site`: see `Site`. `upload`: where files may be uploaded;
    None: nowhere. `live`: makes pages load themselves again. A path without a file is tried with
    `.html` at its end; if there is none, `404.html` in the root is the body of the 404 response.
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
        hidden: bool = False,
        follow_links: bool = False,
        upload: UploadRules | None = None,
        live: LiveReload | None = None,
    ) -> None:
        self.root = os.path.abspath(root)
        self._index = index
        self._listing = listing
        self._site = Site() if site is None else site
        self._folder = folder = served(self.root, self._site.prefix, hidden, follow_links)
        self._receiver = None if upload is None else receiver(folder, upload, index)
        into = None if self._receiver is None else self._receiver.uploads.into
        self._catalog = ListingCache(folder, into)
        self._archives = Archives(folder)
        self._common: Headers = self._site.fields(cache_control)
        self._log = log
        self._allow_host = allow_host
        self._reserve = Reserve(0) if reserve is None else reserve
        self._live = live
        self._tail = b"" if live is None else live.tail
        self._store = FileStore(folder, cache_size, self._reserve, self._common, into, self._tail)

    async def __call__(self, request: FileRequest) -> None:
        """Answer one request."""
        log = self._log
        began = 0.0 if log is None else time.perf_counter()
        reply = self._quick_reply(request)
        if reply is None:
            reply = await self.reply(request)
        body = reply.body
        try:
            await request.respond(reply.code, reply.headers, body)
        finally:
            if not isinstance(body, bytes):
                body.close()
                self._reserve.refill()
            if log is not None:
                log(request, reply.code, sent(body), time.perf_counter() - began)

    async def reply(self, request: FileRequest) -> Reply:
        """Return the response. The caller closes its body if that is a FileBody."""
        method = request.method
        if method == "OPTIONS":
            return Reply(204, [self._allow(), *self._common, *self._site.preflight()], b"")
        if method == "PUT" and self._receiver is not None:
            return await self._receive(self._receiver, request)
        if method not in ("GET", "HEAD"):
            await skim(request)
            return self._error(method, 405, [self._allow()])
        if not self._folder.has_prefix(request.path):
            return self._outside(request)
        try:
            if self._live is not None and self._live.is_own(request.path):
                return live_reply(self._live, request, self._common)
            found = self._find(request)
            if isinstance(found, Found):
                return await self._file(request, found)
            return found or await self._list(request)
        except Refused as refused:
            code = refused.code
        except OSError as error:
            code = _status(error)
        if code == 404:
            reply = await self._missing(request)
            if self._site.single_page:
                vary = navigation_vary(request.path)
                reply = reply._replace(headers=[*reply.headers, vary])
            return reply
        return self._error(method, code, _MORE.get(code))

    def _allow(self) -> tuple[str, str]:
        return ALLOW if self._receiver is None else ALLOW_UPLOAD

    async def _receive(self, receiver: Receiver, request: FileRequest) -> Reply:
        """Store an upload."""
        try:
            address = self._folder.parse(request.path)
            await receiver.receive(request.headers, request.payload, address)
        except Refused as refused:
            code = refused.code
        except OSError as error:
            code = _status(error)
        else:
            location = self._link(address.segments)
            return Reply(201, [("location", location), *self._common], b"")
        await skim(request)
        return self._error(
            request.method, code, [self._allow()] if code == 405 else _MORE.get(code)
        )

    def _outside(self, request: FileRequest) -> Reply:
        """Return the response to a target without the prefix."""
        path, mark, query = request.path.partition("?")
        if path == self._site.prefix:
            return self._redirect(request, 308, f"{path}/{mark}{query}")
        return self._error(request.method, 404)

    def _link(self, segments: list[str]) -> str:
        """Return the path of a file as URLs have it."""
        return self._site.prefix + pages.link(segments)

    def _quick_reply(self, request: FileRequest) -> Reply | None:
        """Return what needs no look at the folder: a refusal (401, 421), a kept file that has not
        changed. None: call `reply`."""
        headers = request.headers
        selecting = False
        accept = None
        for name, value in headers:
            if name == ":authority":
                # > The 421 (Misdirected Request) status code indicates that the request was
                # > directed at a server that is unable or unwilling to produce an authoritative
                # > response for the target URI.   (RFC 9110 15.5.20)
                if self._allow_host is not None and not self._allow_host(value):
                    return self._error(request.method, 421)
            elif name in _SELECTING:
                selecting = True
                if name == "accept-encoding":
                    accept = value if accept is None else f"{accept}, {value}"
        method = request.method
        if self._site.auth is not None and not self._site.admits(headers):
            if method == "OPTIONS" and self._site.cors:
                return None  # browsers send no credentials with a preflight
            return self._error(method, 401, [CHALLENGE])
        if method != "GET" and method != "HEAD":
            return None
        path = request.path
        file = self._store.kept(path.partition("?")[0] if "?" in path else path, accept)
        if file is None:
            return None
        try:
            if selecting:
                return self._reply_from(file, request)
            return Reply(200, file.headers, file.body(method))
        except OSError:
            return None  # there are no descriptors left: `reply` finds the status for that

    # -- finding the file --------------------------------------------------------------------------

    def _find(self, request: FileRequest) -> Reply | Found | None:
        """Return the file, a folder's index, or a redirect; None: list the folder."""
        segments, slash = self._folder.parse(request.path)
        if self._folder.only and not segments:
            return self._redirect(request, 302, self._link([self._folder.only]))
        try:
            found = self._store.open(segments)
        except FileNotFoundError:
            if slash or not segments or segments[-1].endswith(".html"):
                raise
            segments[-1] += ".html"
            return self._only_file(segments)
        if not found.is_folder:
            if slash:
                os.close(found.fd)
                raise Refused(404)
            return Found(found, segments, _key(request.path))
        if found.fd >= 0:
            os.close(found.fd)
        if not slash:
            return self._to_folder(request, segments)
        try:
            found = self._store.open([*segments, self._index])
        except FileNotFoundError:
            if self._listing:
                return None
            raise Refused(403) from None
        if found.is_folder:
            os.close(found.fd)
            raise Refused(403)
        return Found(found, [*segments, self._index], _key(request.path))

    def _only_file(self, segments: list[str]) -> Found:
        """Return a file that a request means without naming it. Raises Refused or OSError."""
        found = self._store.open(segments)
        if found.is_folder:
            if found.fd >= 0:
                os.close(found.fd)
            raise Refused(404)
        return Found(found, segments, self._link(segments))

    async def _missing(self, request: FileRequest) -> Reply:
        """Return the response for a path without a file."""
        try:
            if self._site.single_page and is_navigation(request.path, request.headers):
                return await self._file(request, self._only_file([self._index]))
        except Refused as refused:
            if refused.code == 406:
                return self._error(request.method, 406, _MORE[406])
        except OSError:
            pass
        try:
            found = self._only_file(["404.html"]).opened
        except (Refused, OSError):
            return self._error(request.method, 404)
        try:
            if found.info.st_size > SMALL_FILE:
                return self._error(request.method, 404)
            page = read_all(found.fd, 0, found.info.st_size) + self._tail
        finally:
            os.close(found.fd)
        fields = [("content-type", pages.HTML), ("content-length", str(len(page)))]
        return Reply(404, [*fields, *self._common], b"" if request.method == "HEAD" else page)

    def _to_folder(self, request: FileRequest, segments: list[str]) -> Reply:
        """Redirect to the same path with a slash, rebuilt from names to stay on this host."""
        _, mark, query = request.path.partition("?")
        return self._redirect(request, 308, f"{self._link(segments)}/{mark}{query}")

    def _redirect(self, request: FileRequest, code: int, target: str) -> Reply:
        return self._error(request.method, code, [("location", target)])

    async def _list(self, request: FileRequest) -> Reply:
        segments = self._folder.parse(request.path).segments
        ending = asked_archive(request.path)
        if ending:
            return await self._archive(request.method, segments, ending)
        page = await self._catalog.page(segments, parse_order(request.path))
        policy = self._catalog.policy(segments)
        return page_reply(request.method, 200, page, self._common, policy=policy)

    async def _archive(self, method: str, segments: list[str], ending: str) -> Reply:
        """Return the response with a folder as one file."""
        name = segments[-1] if segments else self._folder.name
        fields = [
            ("content-type", KINDS[ending]),
            ("content-disposition", attachment(f"{name}.{ending}")),
            *self._common,
        ]
        if method == "HEAD":
            return Reply(200, fields, b"")
        return Reply(200, fields, await self._archives.body(segments, ending))

    # -- building the response ---------------------------------------------------------------------

    async def _file(self, request: FileRequest, found: Found) -> Reply:
        """Return the response for an open file. Takes its descriptor over."""
        accept = combined(request.headers, "accept-encoding")
        file = await self._store.file(*found, accept)
        passed_on = False
        try:
            reply = select(request.method, request.headers, file, file.source, self._common)
            passed_on = not isinstance(reply.body, bytes)
            return reply
        finally:
            if not passed_on:
                file.close()

    def _error(self, method: str, code: int, headers: Headers | None = None) -> Reply:
        return error_reply(method, code, self._common, headers)

    def _reply_from(self, file: CachedFile, request: FileRequest) -> Reply:
        source = file.source if isinstance(file.source, bytes) else os.dup(file.source)
        reply = select(request.method, request.headers, file, source, self._common)
        if isinstance(source, int) and isinstance(reply.body, bytes):
            os.close(source)
        return reply

    def close(self) -> None:
        """Close the descriptors of cached files, and forget these files."""
        self._store.cache.close()


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


def served(root: str, prefix: str, hidden: bool, follow_links: bool) -> Folder:
    """Return what to serve. Raises NotADirectoryError or FileNotFoundError."""
    real = os.path.realpath(root, strict=True)
    if os.path.isfile(real):
        folder, name = os.path.split(root)
        return Folder(folder, hidden=True, follow_links=True, only=name, prefix=prefix)
    if not os.path.isdir(real):
        raise NotADirectoryError(f"neither a folder nor a file: {root}")
    return Folder(root, hidden, follow_links, prefix=prefix)


def live_reply(live: LiveReload, request: FileRequest, common: Headers) -> Reply:
    """Return the script that loads pages again, or the stream that it listens to."""
    fields = [("cache-control", "no-store"), *(f for f in common if f[0] != "cache-control")]
    if request.path == live.script:
        code = live.code()
        fields += [("content-type", "text/javascript"), ("content-length", str(len(code)))]
        return Reply(200, fields, b"" if request.method == "HEAD" else code)
    fields.append(("content-type", "text/event-stream"))
    return Reply(200, fields, b"" if request.method == "HEAD" else live.listen())


def _key(target: str) -> str:
    """Return the key of a target in the cache: its path, without the query."""
    return target.partition("?")[0] if "?" in target else target


def _status(error: OSError) -> int:
    """Return the HTTP status for a failed system call."""
    if error.errno in (EACCES, EPERM):
        return 403
    return 503 if error.errno in (EMFILE, ENFILE, ENOMEM) else 404
