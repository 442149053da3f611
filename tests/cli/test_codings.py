"""Files in content codings: compressed files beside them, and gzip of small ones."""

import asyncio
import gzip
import os
from pathlib import Path

import pytest

from cno.cli import compression
from cno.cli.codings import choose, is_compressible, parse_weights
from cno.cli.file_store import SMALL_FILE
from cno.cli.files import Files
from cno.cli.site import Site
from tests.cli.test_files import OLD, Answer, Fake, ask
from tests.rows import each_row

TEXT = b"function f() { return 'a text that can be compressed' }\n" * 40
LARGE = TEXT * (SMALL_FILE // len(TEXT) + 1)


def put(path: Path, data: bytes, at: int = OLD) -> None:
    path.write_bytes(data)
    os.utime(path, (at, at))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("app.js", "plain.js", "index.html"):
        put(tmp_path / name, TEXT)
    put(tmp_path / "app.js.br", b"br bytes")
    put(tmp_path / "app.js.gz", b"gz bytes")
    put(tmp_path / "app.js.zst", b"zst bytes")
    put(tmp_path / "large.js", LARGE)
    put(tmp_path / "large.js.gz", LARGE[:-1])
    put(tmp_path / "photo.png", TEXT)
    put(tmp_path / "short.txt", b"short")
    return tmp_path


@each_row(
    ("field", "available", "chosen"),
    [
        (None, "br gzip", ""),
        ("", "br gzip", ""),
        ("gzip", "br gzip", "gzip"),
        ("gzip, deflate, br", "br gzip", "br"),
        ("GZip;Q=0.8 , br ; q=0.5", "br gzip", "gzip"),
        ("x-gzip", "gzip", "gzip"),
        ("*", "br gzip", "br"),
        ("br;q=0, *", "br gzip", "gzip"),
        ("gzip;q=0", "gzip", ""),
        ("gzip;q=0.5, identity", "gzip", ""),
        ("gzip, identity", "gzip", "gzip"),
        ("gzip;q=0.001", "gzip", "gzip"),
        ("identity;q=0", "gzip", None),
        ("identity;q=0, gzip", "gzip", "gzip"),
        ("*;q=0", "gzip", None),
        ("*;q=0, identity;q=0.1", "gzip", ""),
        ("gzip;q=2, br;q=x, zstd;q=0.5555", "br zstd gzip", ""),
        ("gzip;q=1.001", "gzip", ""),
        ("deflate", "br gzip", ""),
        (",,gzip,,", "gzip", "gzip"),
        ("gzip" + " " * 2000, "gzip", ""),
        ("a," * 40 + "gzip", "gzip", ""),
    ],
)
def test_the_coding_that_a_client_wants(
    field: str | None, available: str, chosen: str | None
) -> None:
    assert choose(field, available.split()) == chosen


def test_the_first_of_two_weights_counts() -> None:
    assert parse_weights("gzip;q=0.5, gzip;q=1, br;level=3") == {"gzip": 0.5}


def test_types_that_are_compressed_already() -> None:
    for kind in ("text/html; charset=utf-8", "image/svg+xml", "application/json", "font/ttf"):
        assert is_compressible(kind), kind
    for kind in ("image/png", "font/woff2", "video/mp4", "application/zip", "application/pdf"):
        assert not is_compressible(kind), kind


def vary(answer: Answer) -> bool:
    return answer.get("vary") == "accept-encoding"


@pytest.mark.parametrize(
    ("accept", "coding", "body"),
    [
        ("gzip, deflate, br, zstd", "br", b"br bytes"),
        ("zstd", "zstd", b"zst bytes"),
        ("gzip", "gzip", b"gz bytes"),
        ("deflate", None, TEXT),
    ],
)
def test_compressed_files_beside_a_file(
    root: Path, accept: str, coding: str | None, body: bytes
) -> None:
    handler = Files(root)
    plain = ask(handler, "/app.js")
    assert (plain.body, plain.get("content-encoding")) == (TEXT, None)
    assert vary(plain)
    for _ in range(2):
        answer = ask(handler, "/app.js", accept_encoding=accept)
        assert (answer.code, answer.body) == (200, body)
        assert answer.get("content-encoding") == coding
        assert answer.get("content-type") == "text/javascript; charset=utf-8"
        assert vary(answer)
        head = ask(handler, "/app.js", "HEAD", accept_encoding=accept)
        assert (head.headers, head.body) == (answer.headers, b"")


def test_each_coding_has_its_tag(root: Path) -> None:
    handler = Files(root)
    tags = {}
    for accept in ("identity", "br", "zstd", "gzip"):
        tags[accept] = ask(handler, "/app.js", accept_encoding=accept).get("etag") or ""
        assert tags[accept].startswith('"')
    assert len(set(tags.values())) == 4
    for accept, tag in tags.items():
        again = ask(handler, "/app.js", accept_encoding=accept, if_none_match=tag)
        assert again.code == 304
        assert vary(again)
        other = "gzip" if accept != "gzip" else "br"
        assert ask(handler, "/app.js", accept_encoding=other, if_none_match=tag).code == 200
        assert ask(handler, "/app.js", accept_encoding=other, if_match=tag).code == 412
        part = {"accept_encoding": other, "range": "bytes=1-2"}
        assert ask(handler, "/app.js", if_range=tag, **part).code == 200


def test_ranges_are_those_of_the_coding(root: Path) -> None:
    handler = Files(root)
    for _ in range(2):
        answer = ask(handler, "/app.js", accept_encoding="gzip", range="bytes=3-")
        assert (answer.code, answer.body) == (206, b"bytes")
        assert answer.get("content-range") == "bytes 3-7/8"
        assert answer.get("content-encoding") == "gzip"
        assert vary(answer)
        assert ask(handler, "/app.js", accept_encoding="br", range="bytes=8-").code == 416
        large = ask(handler, "/large.js", accept_encoding="gzip", range="bytes=-2")
        assert (
            large.get("content-range")
            == f"bytes {len(LARGE) - 3}-{len(LARGE) - 2}/{len(LARGE) - 1}"
        )
    whole = ask(handler, "/large.js", accept_encoding="gzip")
    assert (whole.body, whole.get("content-encoding")) == (LARGE[:-1], "gzip")
    whole = ask(handler, "/large.js")
    assert (whole.body, whole.get("content-encoding")) == (LARGE, None)
    assert vary(whole)


def test_a_compressed_file_by_its_own_name_is_itself(root: Path) -> None:
    answer = ask(Files(root), "/app.js.gz", accept_encoding="gzip")
    assert answer.body == b"gz bytes"
    assert answer.get("content-encoding") is None
    assert answer.get("content-type") == "application/gzip"


def test_compressed_files_that_are_not_used(root: Path) -> None:
    """Older than the file, out of reach, or no files."""
    put(root / "app.js", TEXT[:-1], OLD + 1)
    (root / "plain.js.br").symlink_to("/etc/passwd")
    (root / "plain.js.zst").mkdir()
    (root / ".git").mkdir()
    put(root / ".git" / "x", b"hidden")
    (root / "short.txt.gz").symlink_to(".git/x")
    handler = Files(root)
    assert ask(handler, "/app.js", accept_encoding="br").body == TEXT[:-1]
    assert ask(handler, "/plain.js", accept_encoding="br, zstd").body == TEXT
    assert ask(handler, "/short.txt", accept_encoding="gzip").body == b"short"
    put(root / "app.js.br", b"new", OLD + 1)
    handler = Files(root)
    assert ask(handler, "/app.js", accept_encoding="br").body == b"new"
    put(root / "app.js.br", b"newer", OLD + 2)
    assert ask(handler, "/app.js", accept_encoding="br").body == b"newer"


def test_a_compressed_file_that_comes_later(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = Files(root)
    assert ask(handler, "/short.txt", accept_encoding="br").body == b"short"
    put(root / "short.txt.br", b"later")
    monkeypatch.setattr("cno.cli.file_store.time.monotonic", lambda: 10.0**9)
    assert ask(handler, "/short.txt", accept_encoding="br").body == b"later"


def test_small_files_are_compressed(root: Path) -> None:
    handler = Files(root)
    for path in ("/plain.js", "/", "/index", "/index.html", "/plain.js?x"):
        for _ in range(2):
            answer = ask(handler, path, accept_encoding="gzip, br")
            assert answer.get("content-encoding") == "gzip", path
            assert gzip.decompress(answer.body) == TEXT
            assert len(answer.body) < 200
            assert vary(answer)
        plain = ask(handler, path)
        assert (plain.body, plain.get("content-encoding")) == (TEXT, None)
        assert plain.get("etag") != ask(handler, path, accept_encoding="gzip").get("etag")
        assert vary(plain)
    fields = {"accept_encoding": "gzip"}
    tag = ask(handler, "/plain.js", **fields).get("etag") or ""
    assert ask(handler, "/plain.js", if_none_match=tag, **fields).code == 304
    part = ask(handler, "/plain.js", if_range=tag, range="bytes=0-1", **fields)
    assert (part.code, part.body) == (206, b"\x1f\x8b")


def test_what_is_not_compressed(root: Path) -> None:
    handler = Files(root)
    put(root / "noise.txt", os.urandom(4096))
    for path in ("/photo.png", "/short.txt", "/noise.txt", "/none", "/app.js.br"):
        for _ in range(2):
            answer = ask(handler, path, accept_encoding="gzip")
            assert answer.get("content-encoding") is None, path
    assert vary(ask(handler, "/noise.txt"))
    for path in ("/photo.png", "/short.txt", "/none"):
        assert not vary(ask(handler, path)), path
    (root / "index.html").unlink()
    assert ask(handler, "/", accept_encoding="gzip").get("content-encoding") is None
    # A file that is not kept would be compressed for each request.
    uncached = Files(root, cache_size=0)
    assert ask(uncached, "/plain.js", accept_encoding="gzip").body == TEXT
    assert vary(ask(uncached, "/plain.js"))


def test_a_client_that_refuses_the_content_as_it_is(root: Path) -> None:
    handler = Files(root)
    put(root / "noise.txt", os.urandom(4096))
    for _ in range(2):
        for path in ("/photo.png", "/short.txt", "/noise.txt", "/large.js.gz"):
            answer = ask(handler, path, accept_encoding="gzip, identity;q=0")
            assert answer.code == 406, path
            assert vary(answer)
        assert ask(handler, "/app.js", accept_encoding="br, *;q=0").body == b"br bytes"
        assert ask(handler, "/plain.js", accept_encoding="gzip, *;q=0").code == 200
    page = Files(root, site=Site(single_page=True))
    assert ask(page, "/route", accept_encoding="identity;q=0").code == 406


def test_files_that_change_are_compressed_anew(root: Path) -> None:
    handler = Files(root)
    first = ask(handler, "/plain.js", accept_encoding="gzip")
    put(root / "plain.js", TEXT[::-1])
    second = ask(handler, "/plain.js", accept_encoding="gzip")
    assert gzip.decompress(second.body) == TEXT[::-1]
    assert first.get("etag") != second.get("etag")


def test_requests_share_the_work(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = compression.compressed

    def counting(data: bytes) -> bytes:
        calls.append(1)
        return real(data)

    monkeypatch.setattr(compression, "compressed", counting)
    handler = Files(root)

    async def main() -> None:
        fields = [(":authority", "a"), ("accept-encoding", "gzip")]
        requests = [Fake("GET", "/plain.js", fields) for _ in range(20)]
        tasks = [asyncio.create_task(handler(request)) for request in requests]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        bodies = {request.answers[0].body for request in requests[1:]}
        assert len(bodies) == 1
        await handler(Fake("GET", "/plain.js", fields))

    asyncio.run(main())
    assert len(calls) == 1


def test_when_too_many_files_wait(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "MAX_PENDING", 0)
    answer = ask(Files(root), "/plain.js", accept_encoding="gzip")
    assert (answer.body, answer.get("content-encoding")) == (TEXT, None)


def test_a_single_page_is_compressed(root: Path) -> None:
    handler = Files(root, site=Site(single_page=True))
    answer = ask(handler, "/route", accept_encoding="gzip", accept="text/html")
    assert gzip.decompress(answer.body) == TEXT
