"""Pages that load themselves again: the script in them, the events, and their end."""

import asyncio
import gzip
import os
import socket
from pathlib import Path

import pytest

from cno.cli import live_reload
from cno.cli.files import Files
from cno.cli.live_reload import MAX_LISTENERS, LiveReload
from cno.cli.site import Site
from tests.cli.test_files import OLD, Fake, ask
from tests.processes import serving


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, data in {
        "index.html": b"<p>index" * 100,
        "a.css": b"p{}",
        "404.html": b"lost",
        "wide.html": "\ufeffwide".encode("utf-16"),
    }.items():
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (OLD, OLD))
    return tmp_path


def test_what_is_appended(root: Path) -> None:
    live = LiveReload("/p")
    handler = Files(root, live=live, site=Site(prefix="/p"))
    plain = Files(root)
    for _ in range(2):
        page = ask(handler, "/p/")
        assert page.body == b"<p>index" * 100 + live.tail
        assert b'<script src="/p/.cno/live.js"></script>' in live.tail
        assert page.get("etag") != ask(plain, "/").get("etag")
        assert ask(handler, "/p/", if_none_match=page.get("etag") or "").code == 304
        assert ask(handler, "/p/none").body == b"lost" + live.tail
        assert ask(handler, "/p/a.css").body == b"p{}"
        assert ask(handler, "/p/wide").body == (root / "wide.html").read_bytes()
        coded = ask(handler, "/p/", accept_encoding="gzip")
        assert gzip.decompress(coded.body) == page.body
    page = ask(Files(root, live=LiveReload()), "/")
    (root / "index.html.gz").write_bytes(b"built without the script")
    coded = ask(Files(root, live=LiveReload()), "/", accept_encoding="gzip")
    assert gzip.decompress(coded.body) == page.body


def test_the_script(root: Path) -> None:
    answer = ask(Files(root, live=LiveReload()), "/.cno/live.js")
    assert (answer.code, answer.get("cache-control")) == (200, "no-store")
    assert answer.body.startswith(b"const EVENTS = '/.cno/events';")
    assert ask(Files(root), "/.cno/live.js").code == 404
    assert ask(Files(root, live=LiveReload(), site=Site(auth="a:b")), "/.cno/live.js").code == 401
    head = ask(Files(root, live=LiveReload()), "/.cno/events", "HEAD")
    assert (head.get("content-type"), head.body) == ("text/event-stream", b"")


async def next_event(body: live_reload.EventBody) -> bytes:
    return await asyncio.wait_for(anext(body), 5)


def test_what_listeners_are_told() -> None:
    async def main() -> None:
        live = LiveReload()
        body, other = live.listen(), live.listen()
        assert await next_event(body) == b"retry: 500\n\n"
        live.changed(["/x/a.css", "/x/b.CSS"])
        assert await next_event(body) == b"data: style\n\n"
        live.changed(["/x/a.css"])
        live.changed(["/x/a.css", "/x/a.html"])
        live.changed(["/x/a.css"])
        assert await next_event(body) == b"data: page\n\n"  # all of them at once
        other.close()
        live.stop()
        with pytest.raises(StopAsyncIteration):
            await next_event(body)

    asyncio.run(main())


def test_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_reload, "HEARTBEAT", 0.01)

    async def main() -> None:
        body = LiveReload().listen()
        await next_event(body)
        assert await next_event(body) == b":\n\n"
        assert body.sent == len(b"retry: 500\n\n:\n\n")

    asyncio.run(main())


def test_listeners_are_bounded(root: Path) -> None:
    live = LiveReload()
    handler = Files(root, live=live)
    held = [live.listen() for _ in range(MAX_LISTENERS)]
    assert ask(handler, "/.cno/events").code == 503
    held[0].close()

    class Gone(Fake):
        async def respond(self, *_: object) -> None:
            raise ConnectionResetError

    for _ in range(3):
        with pytest.raises(ConnectionResetError):
            asyncio.run(handler(Gone("GET", "/.cno/events", [])))


@pytest.mark.slow
def test_a_change_reaches_a_page(root: Path) -> None:
    """And the server ends although a page listens."""
    pytest.importorskip("watchfiles")
    with (
        serving(root, "--live-reload") as served,
        socket.create_connection(("127.0.0.1", served.port), 20) as sock,
    ):
        sock.sendall(b"GET /.cno/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        seen = b""
        while b"retry" not in seen:
            seen += sock.recv(4096)
        (root / "a.css").write_text("p{color:red}")
        while b"data: style" not in seen:
            data = sock.recv(4096)
            assert data
            seen += data
