"""A server for tests of clients: the URL chooses the answer, and a list keeps the requests.

It runs in a separate thread, over TLS (HTTP/2 and HTTP/1.1) or in clear text. Knows the public
names only.
"""

import asyncio
import gzip
import json
import re
import ssl
import threading
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import cno
from tests.processes import PATIENCE, Pair

HOST = "127.0.0.1"
TEXT = b"".join(b"line %d of a text\n" % number for number in range(2_000))
TAG = '"tag-of-the-text"'
MODIFIED = "Tue, 01 Jul 2025 10:00:00 GMT"


@dataclass
class Seen:
    """A request as the server got it."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


@dataclass
class Echo:
    """A running server. `cuts`: how many responses of /cut end early."""

    port: int = 0
    scheme: str = "http"
    seen: list[Seen] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)
    awaited: dict[int, asyncio.Event] = field(default_factory=dict)  # by number of requests
    cuts: int = 0
    failures: int = 0
    file: bytes = TEXT  #: The content of /file, which has no entity tag.
    modified: str = MODIFIED
    has_ranges: bool = True

    @property
    def url(self) -> str:
        return f"{self.scheme}://{HOST}:{self.port}"

    async def handle(self, request: cno.Request) -> None:
        body = await request.payload.read()
        self.seen.append(Seen(request.method, request.path, list(request.headers), body))
        self.connections.add(id(request.conn))
        if (event := self.awaited.pop(len(self.seen), None)) is not None:
            event.set()
        kind = request.path.split("?")[0].split("/")[1]
        handler = HANDLERS.get(kind)
        if handler is None:
            await request.respond(404, [("content-type", "text/plain")], b"nothing here\n")
        else:
            await handler(self, request)


def part_of(request: cno.Request) -> str:
    """Return what follows the kind in the path."""
    return (request.path.split("?")[0] + "//").split("/")[2]


async def answer_echo(echo: Echo, request: cno.Request) -> None:
    seen = echo.seen[-1]
    found = {"method": seen.method, "path": seen.path, "body": seen.body.hex()}
    await request.respond(
        200, [("content-type", "application/json")], (json.dumps(found) + "\n").encode()
    )


async def answer_status(echo: Echo, request: cno.Request) -> None:
    code = int(part_of(request))
    await request.respond(code, [("content-type", "text/plain")], b"status %d\n" % code)


async def answer_redirect(echo: Echo, request: cno.Request) -> None:
    left = int(part_of(request))
    code = int(parse_qs(urlsplit(request.path).query).get("code", ["302"])[0])
    location = f"/redirect/{left - 1}" if left > 1 else "/echo/end"
    await request.respond(code, [("location", location)], b"over there\n")


async def answer_text(echo: Echo, request: cno.Request) -> None:
    """Answer with a text; with a part of it, if a range is asked for."""
    fields = [("etag", TAG), ("last-modified", MODIFIED), ("accept-ranges", "bytes")]
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", request.header("range") or "")
    condition = request.header("if-range")
    if wanted is None or condition not in (None, TAG):
        await request.respond(200, fields, TEXT)
        return
    first, last = wanted[1], wanted[2]
    start = int(first) if first else max(0, len(TEXT) - int(last))
    end = min(int(last) + 1, len(TEXT)) if first and last else len(TEXT)
    if start >= len(TEXT):
        await request.respond(416, [("content-range", f"bytes */{len(TEXT)}")], b"no such range\n")
        return
    fields.append(("content-range", f"bytes {start}-{end - 1}/{len(TEXT)}"))
    await request.respond(206, fields, TEXT[start:end])


async def answer_file(echo: Echo, request: cno.Request) -> None:
    """Answer with `file`, or with its end, and close the connection in it, `cuts` times."""
    fields = [("last-modified", echo.modified)] if echo.modified else []
    wanted = re.fullmatch(r"bytes=(\d+)-", request.header("range") or "")
    start = int(wanted[1]) if wanted and echo.has_ranges else 0
    size = len(echo.file)
    if start >= size:
        await request.respond(416, [("content-range", f"bytes */{size}")], b"")
        return
    if start:
        fields.append(("content-range", f"bytes {start}-{size - 1}/{size}"))
    fields.append(("content-length", str(size - start)))
    async with request.start(206 if start else 200, fields) as out:
        if echo.cuts > 0:
            echo.cuts -= 1
            await out.write(echo.file[start : start + 20_000])
            await asyncio.sleep(0.02)
            request.conn.transport.abort()
        await out.write(echo.file[start:])


async def answer_cut(echo: Echo, request: cno.Request) -> None:
    """Answer as `answer_text`, and close the connection in the middle, `cuts` times."""
    if echo.cuts <= 0:
        await answer_text(echo, request)
        return
    echo.cuts -= 1
    wanted = re.fullmatch(r"bytes=(\d+)-", request.header("range") or "")
    start = int(wanted[1]) if wanted else 0
    fields = [("etag", TAG), ("content-length", str(len(TEXT) - start))]
    if wanted:
        fields.append(("content-range", f"bytes {start}-{len(TEXT) - 1}/{len(TEXT)}"))
    out = request.start(206 if wanted else 200, fields)
    async with out:
        await out.write(TEXT[start : start + 10_000])
        await asyncio.sleep(0.02)
        request.conn.transport.abort()


async def answer_fail(echo: Echo, request: cno.Request) -> None:
    """Answer with 503, `failures` times."""
    code = 503 if echo.failures > 0 else 200
    echo.failures -= 1
    await request.respond(code, [], b"tried\n")


async def answer_coded(echo: Echo, request: cno.Request) -> None:
    kind = part_of(request)
    if kind == "gzip":
        data = gzip.compress(TEXT)
    elif kind == "deflate":
        data = zlib.compress(TEXT)
    elif kind == "broken":
        kind, data = "gzip", gzip.compress(TEXT)[:-20]
    elif kind == "bad":
        kind, data = "gzip", b"this is no gzip at all"
    else:
        data = TEXT
    await request.respond(200, [("content-encoding", kind)], data)


async def answer_cookies(echo: Echo, request: cno.Request) -> None:
    fields = [("set-cookie", "one=1; Path=/"), ("set-cookie", "two=2; Path=/; Max-Age=3600")]
    await request.respond(200, fields if part_of(request) == "set" else [], b"cookies\n")


async def answer_name(echo: Echo, request: cno.Request) -> None:
    name = parse_qs(urlsplit(request.path).query)["name"][0]
    await request.respond(
        200, [("content-disposition", name), ("last-modified", MODIFIED)], b"named"
    )


async def answer_basic(echo: Echo, request: cno.Request) -> None:
    known = request.header("authorization") == "Basic dXNlcjpwYXNz"
    challenge = [] if known else [("www-authenticate", 'Basic realm="x"')]
    await request.respond(200 if known else 401, challenge, b"in\n" if known else b"out\n")


async def answer_last(echo: Echo, request: cno.Request) -> None:
    """Answer once the server has seen this number of requests."""
    wanted = int(part_of(request))
    if len(echo.seen) < wanted:
        await echo.awaited.setdefault(wanted, asyncio.Event()).wait()
    await request.respond(200, [], b"at last\n")


async def answer_slow(echo: Echo, request: cno.Request) -> None:
    await asyncio.sleep(PATIENCE)


async def answer_drop(echo: Echo, request: cno.Request) -> None:
    request.conn.transport.abort()


HANDLERS: dict[str, Callable[[Echo, cno.Request], Awaitable[None]]] = {
    "echo": answer_echo,
    "status": answer_status,
    "redirect": answer_redirect,
    "text": answer_text,
    "cut": answer_cut,
    "file": answer_file,
    "fail": answer_fail,
    "coded": answer_coded,
    "cookies": answer_cookies,
    "name": answer_name,
    "basic": answer_basic,
    "last": answer_last,
    "slow": answer_slow,
    "drop": answer_drop,
}


@contextmanager
def echoing(pair: Pair | None = None, unix: str | None = None) -> Iterator[Echo]:
    """Run a server in a thread: over TLS if there is a certificate, or on a Unix socket."""
    echo = Echo(scheme="http" if pair is None else "https")
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def main() -> None:
        context = None
        if pair is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair.cert, pair.key)
            context.set_alpn_protocols(["h2", "http/1.1"])
        limits = cno.Limits(shutdown_timeout=0.1)
        if unix is not None:
            listener = await cno.serve(echo.handle, path=unix, limits=limits)
        else:
            listener = await cno.serve(echo.handle, HOST, 0, ssl=context, limits=limits)
            echo.port = listener.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        listener.close()
        await listener.wait_closed()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield echo
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)
        loop.close()
