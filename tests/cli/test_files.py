"""The responses of `Files`, called with fake requests, without a connection.

A fake request has the attributes of `cno.Request` that the handler uses.
"""

import asyncio
import errno
import hashlib
import os
import socket
import time
from collections.abc import AsyncIterable
from errno import EACCES
from pathlib import Path
from typing import NamedTuple

import pytest

from cno.aio.file_range import PIECE as CHUNK
from cno.cli.bodies import file_body
from cno.cli.conditions import parse_date
from cno.cli.content_types import content_type
from cno.cli.file_cache import MAX_CACHED, ONE_LOOK
from cno.cli.file_store import SMALL_FILE
from cno.cli.files import MAX_SKIMMED, SKIM_TIME, Files
from cno.cli.ranges import Span
from cno.cli.reserve import Reserve
from tests.rows import each_row

Headers = list[tuple[str, str]]
OLD = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT
BIG = bytes(range(256)) * 4096 + b"end"


class Answer(NamedTuple):
    code: int
    headers: Headers
    body: bytes

    def get(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, (name, values)
        return values[0] if values else None


class Fake:
    """A request that records its response."""

    def __init__(self, method: str, path: str, headers: Headers) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.answers: list[Answer] = []
        self.body = b""

    @property
    def payload(self) -> asyncio.StreamReader:
        reader = asyncio.StreamReader()
        reader.feed_data(self.body)
        if not self.body.startswith(b"slow"):
            reader.feed_eof()
        return reader

    async def respond(
        self, code: int, headers: Headers, data: bytes | AsyncIterable[bytes], /
    ) -> None:
        if not isinstance(data, bytes):
            chunks = [chunk async for chunk in data]
            assert max(map(len, chunks)) <= CHUNK
            data = b"".join(chunks)
        self.answers.append(Answer(code, headers, data))


def ask(handler: Files, path: str, method: str = "GET", **fields: str) -> Answer:
    """Send a request and return its response; names of fields have _ for -."""
    headers = [(name.replace("_", "-"), value) for name, value in fields.items()]
    request = Fake(method, path, [(":scheme", "http"), (":authority", "a"), *headers])
    asyncio.run(asyncio.wait_for(handler(request), 10))
    (answer,) = request.answers
    length = answer.get("content-length")
    if method != "HEAD" and answer.code not in (204, 304):
        assert length == str(len(answer.body))
    assert answer.get("date") is None  # the connection sends it
    return answer


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder to serve, `public`, and files beside it that must not be served."""
    public = tmp_path / "public"
    (public / "sub" / "deep").mkdir(parents=True)
    (public / "with").mkdir()
    contents: dict[str, bytes] = {
        "a.txt": b"hello",
        "empty": b"",
        "big.bin": BIG,
        "page.html": b"<p>",
        "sub/x.css": b"p{}",
        "with/index.html": b"<h1>index",
        ".hidden": b"no",
        "na me+%.txt": b"odd",
    }
    for name, data in contents.items():
        (public / name).write_bytes(data)
        os.utime(public / name, (OLD, OLD))
    (public / ".git").mkdir()
    (public / ".git" / "config").write_bytes(b"no")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (tmp_path / "public-too").mkdir()
    (tmp_path / "public-too" / "secret.txt").write_bytes(b"secret")
    return public


@pytest.fixture
def handler(root: Path) -> Files:
    return Files(root)


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/a.txt", "text/plain; charset=utf-8", b"hello"),
        ("/a.txt?x=/../y", "text/plain; charset=utf-8", b"hello"),
        ("/%61.txt", "text/plain; charset=utf-8", b"hello"),
        ("/empty", "application/octet-stream", b""),
        ("/big.bin", "application/octet-stream", BIG),
        ("/sub/x.css", "text/css; charset=utf-8", b"p{}"),
        ("/with/", "text/html; charset=utf-8", b"<h1>index"),
        ("/na%20me+%25.txt", "text/plain; charset=utf-8", b"odd"),
    ],
)
def test_a_file(handler: Files, path: str, kind: str, body: bytes) -> None:
    for _ in range(2):  # the second time perhaps from the cache
        answer = ask(handler, path)
        assert answer.code == 200
        assert answer.body == body
        assert answer.get("content-type") == kind
        assert answer.get("last-modified") == "Sun, 06 Nov 1994 08:49:37 GMT"
        assert (answer.get("etag") or "").startswith(f'"{len(body):x}-{OLD * 10**9:x}-')
        assert answer.get("accept-ranges") == "bytes"
        head = ask(handler, path, "HEAD")
        assert head.headers == answer.headers
        assert head.body == b""


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/none", 404),
        ("/a.txt/", 404),
        ("/a.txt/b", 404),
        ("/.hidden", 404),
        ("/%2ehidden", 404),
        ("/.git/config", 404),
        ("/sub/.git", 404),
        ("//", 404),
        ("//a.txt", 404),
        ("/sub//x.css", 404),
        ("//sub", 404),
        ("//evil.example/..", 404),
        ("/..", 400),
        ("/../secret.txt", 400),
        ("/sub/../a.txt", 400),
        ("/%2e%2e/secret.txt", 400),
        ("/.%2E/secret.txt", 400),
        ("/./a.txt", 400),
        ("/..%2fsecret.txt", 400),
        ("/sub%2fx.css", 400),
        ("/sub%5Cx.css", 400),
        ("/..\\secret.txt", 400),
        ("/a.txt%00", 400),
        ("/a%0", 400),
        ("/a%zz", 400),
        ("/%", 400),
        ("/%252e%252e/secret.txt", 404),
        ("a.txt", 400),
        ("", 400),
        ("*", 400),
        ("http://a/a.txt", 400),
        ("/" + "a" * 300, 404),
        ("/a" * 5000, 404),
        ("/%ff", 404),
        ("/\udcff", 404),
    ],
)
def test_no_file(handler: Files, path: str, code: int) -> None:
    answer = ask(handler, path)
    assert answer.code == code
    assert b"secret" not in answer.body
    assert answer.get("content-type") == "text/html; charset=utf-8"
    assert answer.get("location") is None
    assert ask(handler, path, "HEAD").get("content-length") == str(len(answer.body))


def test_links_stay_inside(handler: Files, root: Path) -> None:
    (root / "inner").symlink_to("sub/x.css")
    (root / "inner-folder").symlink_to(root / "with")
    (root / "outer").symlink_to("../secret.txt")
    (root / "outer-absolute").symlink_to(root.parent / "secret.txt")
    (root / "outer-folder").symlink_to("..")
    (root / "beside").symlink_to("../public-too")
    (root / "to-hidden").symlink_to(".git/config")
    (root / "loop").symlink_to("loop")
    (root / "nowhere").symlink_to("none")
    assert ask(handler, "/inner").body == b"p{}"
    assert ask(handler, "/inner-folder/").body == b"<h1>index"
    for path in (
        *("/outer", "/outer-absolute", "/outer-folder/secret.txt", "/outer-folder/"),
        *("/beside/secret.txt", "/beside/", "/to-hidden", "/loop", "/nowhere"),
    ):
        assert ask(handler, path).code == 404, path
    listing = ask(handler, "/").body.partition(b"<tbody>")[2].partition(b"</tbody>")[0]
    assert b"inner" in listing
    for name in (b"outer", b"beside", b"hidden", b"loop", b"nowhere"):
        assert name not in listing


def test_a_link_that_changes_is_followed_anew(root: Path) -> None:
    handler = Files(root)
    link = root / "current.txt"
    link.symlink_to("a.txt")
    assert ask(handler, "/current.txt").body == b"hello"
    link.unlink()
    link.symlink_to("../secret.txt")
    assert ask(handler, "/current.txt").code == 404


def test_an_index_that_leads_out_is_none(handler: Files, root: Path) -> None:
    (root / "sub" / "index.html").symlink_to("../../secret.txt")
    assert ask(handler, "/sub/").code == 404


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such files")
def test_special_files(handler: Files, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "fifo")
    monkeypatch.chdir(root)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("sock")
    (root / "null").symlink_to("/dev/null")
    assert ask(handler, "/fifo").code == 403  # and does not wait for a writer
    assert ask(handler, "/sock").code == 403
    assert ask(handler, "/null").code == 404
    listing = ask(handler, "/").body
    assert not any(name in listing for name in (b"fifo", b"sock", b"null"))


def test_a_swap_between_check_and_open_gains_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the path was checked, a folder in it becomes a link that leads out."""
    handler = Files(root)
    (root.parent / "x.css").write_bytes(b"secret")
    real = os.path.realpath

    def swapped(path: str, *, strict: bool = False) -> str:
        found = real(path, strict=strict)
        if found.endswith("x.css"):
            (root / "sub").rename(root / "was-sub")
            (root / "sub").symlink_to("..")
        return found

    monkeypatch.setattr(os.path, "realpath", swapped)
    answer = ask(handler, "/sub/x.css")
    assert (root / "sub").is_symlink()
    assert (answer.code, b"secret" in answer.body) == (404, False)


def test_what_may_not_be_read(handler: Files, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refusing(path: str, flags: int, *, dir_fd: int | None = None) -> int:
        if path == "a.txt":
            raise PermissionError(EACCES, "no")  # root may read everything
        return real(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refusing)
    assert ask(handler, "/a.txt").code == 403


# -- folders -------------------------------------------------------------------------------------


def test_a_folder_without_slash_is_redirected(handler: Files, root: Path) -> None:
    (root / "a b:é").mkdir()
    for path, location in (
        ("/sub", "/sub/"),
        ("/sub/deep", "/sub/deep/"),
        ("/sub?q=//evil", "/sub/?q=//evil"),
        ("/%73ub", "/sub/"),
        ("/a%20b:%C3%A9", "/a%20b%3A%C3%A9/"),
    ):
        answer = ask(handler, path)
        assert (answer.code, answer.get("location")) == (308, location)


def test_listing(handler: Files, root: Path) -> None:
    (root / '<b>"&.txt').write_bytes(b"x" * 1234)
    (root / "javascript:alert(1)").write_bytes(b"")
    (root / os.fsdecode(b"latin-\xe9")).write_bytes(b"")
    (root / "back\\slash").write_bytes(b"")
    answer = ask(handler, "/")
    assert answer.code == 200
    assert answer.get("content-type") == "text/html; charset=utf-8"
    page = answer.body.decode()
    assert "<b>" not in page
    assert '<a href="./%3Cb%3E%22%26.txt">&lt;b&gt;&quot;&amp;.txt</a></td><td><time' in page
    assert 'title="1,234 bytes">1.2 KiB</td>' in page
    assert '<a href="./javascript%3Aalert%281%29">' in page
    assert '<a href="./latin-%E9">latin-?</a>' in page
    assert '<a href="./na%20me%2B%25.txt">' in page
    assert '<a href="./sub/">sub/</a>' in page
    page = page.partition("<tbody>")[2].partition("</tbody>")[0]
    assert not [name for name in ("hidden", ".git", "back", "../") if name in page]
    # Folders first, then files by name.
    names = ["sub/", "with/", "a.txt", "big.bin", "empty", "javascript", "page.html"]
    places = [page.index(f">{name}") for name in names]
    assert places == sorted(places)
    assert 'href="../"' in ask(handler, "/sub/").body.decode()


def test_every_link_of_a_listing_leads_to_its_file(handler: Files, root: Path) -> None:
    names = ["a&b", "c#d", "e?f", "g%41", "h;i=j", "k+l", " m ", "'n'", os.fsdecode(b"o\xff"), "é"]
    for number, name in enumerate(names):
        (root / "sub" / "deep" / name).write_bytes(str(number).encode())
    page = ask(handler, "/sub/deep/").body.decode()
    rows = page.partition("<tbody>")[2]
    links = [part.partition('"')[0] for part in rows.split('href="./')[1:]]
    assert len(links) == len(names)
    bodies = {ask(handler, f"/sub/deep/{link}").body for link in links}
    assert bodies == {str(number).encode() for number in range(len(names))}


def test_a_long_listing_ends(handler: Files, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cno.cli.listing.MAX_LISTED", 20)
    for number in range(30):
        (root / "sub" / "deep" / f"{number}").touch()
    page = ask(handler, "/sub/deep/").body
    assert page.count(b"<tr><td>") == 20 and b"This folder has more entries" in page


def test_no_listing(root: Path) -> None:
    handler = Files(root, listing=False)
    assert ask(handler, "/").code == 403
    assert ask(handler, "/with/").code == 200


def test_another_index(root: Path) -> None:
    assert ask(Files(root, index="page.html"), "/").body == b"<p>"


# -- methods, conditions, ranges -----------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "PATCH", "CONNECT", "get"])
def test_other_methods(handler: Files, method: str) -> None:
    answer = ask(handler, "/a.txt", method)
    assert (answer.code, answer.get("allow")) == (405, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("body", [b"x=1", bytes(MAX_SKIMMED * 3), b"slow"])
def test_an_upload_is_refused_whatever_it_is(handler: Files, body: bytes) -> None:
    request = Fake("POST", "/a.txt", [])
    request.body = body
    began = time.monotonic()
    asyncio.run(handler(request))
    assert [answer.code for answer in request.answers] == [405]
    assert time.monotonic() - began < SKIM_TIME + 1


def test_an_upload_that_waits_is_refused_at_once(handler: Files) -> None:
    class Waiting(Fake):
        @property
        def payload(self) -> asyncio.StreamReader:
            raise AssertionError("to read it is to ask for it")

    request = Waiting("POST", "/a.txt", [("expect", "100-continue")])
    asyncio.run(handler(request))
    assert [answer.code for answer in request.answers] == [405]


@pytest.mark.parametrize("path", ["/a.txt", "*", "/none"])
def test_options(handler: Files, path: str) -> None:
    answer = ask(handler, path, "OPTIONS")
    assert (answer.code, answer.body) == (204, b"")
    assert answer.get("allow") == "GET, HEAD, OPTIONS"
    assert answer.get("content-length") is None


@pytest.mark.parametrize("path", ["/a.txt", "/big.bin"])
def test_conditions(handler: Files, path: str) -> None:
    etag = ask(handler, path).get("etag") or ""
    for _ in range(2):
        answer = ask(handler, path, if_none_match=etag)
        assert (answer.code, answer.body, answer.get("etag")) == (304, b"", etag)
        assert answer.get("content-length") is None and answer.get("content-type") is None
        assert ask(handler, path, "HEAD", if_none_match=etag).code == 304
        assert ask(handler, path, if_none_match='"other"').code == 200
        assert ask(handler, path, if_match='"other"').code == 412
        assert ask(handler, path, if_modified_since="Sun, 06 Nov 1994 08:49:37 GMT").code == 304
        assert ask(handler, path, if_unmodified_since="Sun, 06 Nov 1994 08:49:36 GMT").code == 412


@pytest.mark.parametrize(("path", "data"), [("/a.txt", b"hello"), ("/big.bin", BIG)])
def test_ranges(handler: Files, path: str, data: bytes) -> None:
    size = len(data)
    etag = ask(handler, path).get("etag") or ""
    for field, part in (("1-3", data[1:4]), ("2-", data[2:]), ("-2", data[-2:])):
        answer = ask(handler, path, range=f"bytes={field}")
        assert (answer.code, answer.body) == (206, part)
        start = data.index(part) if field != "-2" else size - 2
        expected = f"bytes {start}-{start + len(part) - 1}/{size}"
        assert answer.get("content-range") == expected
        assert answer.get("etag") == etag
    refused = ask(handler, path, range=f"bytes={size}-")
    assert (refused.code, refused.get("content-range")) == (416, f"bytes */{size}")
    assert ask(handler, path, range="bytes=x").body == data
    assert ask(handler, path, "HEAD", range="bytes=0-0").code == 200
    assert ask(handler, path, range="bytes=0-0", if_range=etag).code == 206
    assert ask(handler, path, range="bytes=0-0", if_range='"other"').body == data
    assert ask(handler, path, range="bytes=0-0", if_none_match=etag).code == 304


@pytest.mark.parametrize(("path", "data"), [("/a.txt", b"hello"), ("/big.bin", BIG)])
def test_several_ranges(handler: Files, path: str, data: bytes) -> None:
    answer = ask(handler, path, range="bytes=-1,0-1")
    kind, _, boundary = (answer.get("content-type") or "").partition("; boundary=")
    assert (answer.code, kind) == (206, "multipart/byteranges")
    assert answer.get("content-range") is None
    mark = f"\r\n--{boundary}".encode()
    parts = (b"\r\n" + answer.body).split(mark)
    assert [part.partition(b"\r\n\r\n")[2] for part in parts[1:-1]] == [data[-1:], data[:2]]
    assert parts[-1] == b"--\r\n"
    assert mark not in data


# -- files that change; descriptors --------------------------------------------------------------


def test_a_file_that_changes_is_read_anew(handler: Files, root: Path) -> None:
    first = ask(handler, "/a.txt")
    (root / "a.txt").write_bytes(b"HELLO")
    second = ask(handler, "/a.txt")
    assert second.body == b"HELLO"
    assert second.get("etag") != first.get("etag")
    assert ask(handler, "/a.txt", if_none_match=first.get("etag") or "").code == 200
    (root / "a.txt").unlink()
    assert ask(handler, "/a.txt").code == 404


def test_a_file_replaced_by_one_of_the_same_size_and_time(handler: Files, root: Path) -> None:
    """As Nix, Docker and SOURCE_DATE_EPOCH make them: the old tag must not match."""
    first = ask(handler, "/a.txt")
    tag = first.get("etag") or ""
    (root / "new").write_bytes(b"HELLO")
    os.utime(root / "new", (OLD, OLD))
    (root / "new").replace(root / "a.txt")
    for handled in (handler, Files(root)):
        assert ask(handled, "/a.txt", if_none_match=tag).body == b"HELLO"
        spliced = ask(handled, "/a.txt", if_range=tag, range="bytes=3-")
        assert (spliced.code, spliced.body) == (200, b"HELLO")


@pytest.mark.parametrize("at", [0, 1])
def test_a_time_that_says_nothing(handler: Files, root: Path, at: int) -> None:
    os.utime(root / "a.txt", (at, at))
    answer = ask(handler, "/a.txt")
    tag = answer.get("etag") or ""
    assert tag.startswith('W/"')
    assert answer.get("last-modified") is None
    assert ask(handler, "/a.txt", if_none_match=tag).code == 304
    assert ask(handler, "/a.txt", if_match=tag).code == 412
    date = "Thu, 01 Jan 1970 00:00:01 GMT"
    assert ask(handler, "/a.txt", if_modified_since=date).code == 200
    assert ask(handler, "/a.txt", if_unmodified_since=date).code == 200
    for condition in (tag, date):
        assert ask(handler, "/a.txt", if_range=condition, range="bytes=0-0").code == 200


def test_a_root_that_is_switched(tmp_path: Path) -> None:
    """A deployment makes its link lead to another folder."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
        os.utime(tmp_path / name / "a.txt", (OLD, OLD))
        (tmp_path / name / f"only-{name}").touch()
    link = tmp_path / "current"
    link.symlink_to("one")
    handler = Files(link)
    assert ask(handler, "/a.txt").body == b"one"
    assert b"only-one" in ask(handler, "/").body
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(link)
    assert ask(handler, "/a.txt").body == b"two"
    assert ask(Files(link), "/only-two").code == 200
    assert ask(handler, "/only-one").code == 404


def test_well_known(handler: Files, root: Path) -> None:
    (root / ".well-known" / ".inner").mkdir(parents=True)
    (root / ".well-known" / "security.txt").write_bytes(b"contact")
    (root / ".well-known" / ".inner" / "x").write_bytes(b"no")
    (root / "sub" / ".well-known").mkdir()
    (root / "sub" / ".well-known" / "x").write_bytes(b"no")
    assert ask(handler, "/.well-known/security.txt").body == b"contact"
    for path in ("/.well-known/.inner/x", "/sub/.well-known/x", "/.well-known.txt", "/.git/config"):
        assert ask(handler, path).code == 404, path


def test_a_file_without_ending(root: Path) -> None:
    (root / "README").write_text("ünder " * 1000)
    (root / "tool").write_bytes(b"\x7fELF\0\0")
    (root / "latin").write_bytes(b"caf\xe9 au lait")
    handler = Files(root)
    assert ask(handler, "/README").get("content-type") == "text/plain; charset=utf-8"
    for path in ("/tool", "/latin"):
        assert ask(handler, path).get("content-type") == "application/octet-stream"


@pytest.mark.skipif(os.name != "posix", reason="the system has no such limit")
def test_files_when_connections_have_all_descriptors(root: Path) -> None:
    reserve = Reserve(6)
    handler = Files(root, reserve=reserve, cache_size=0)
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(map(int, open_descriptors() or {"100"})) + 20
    taken: list[int] = []
    answers: list[int] = []

    async def fetch() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        for path in ("/a.txt", "/sub/x.css", "/big.bin") * 5:
            request = Fake("GET", path, [(":authority", "a")])
            await handler(request)
            answers.append(request.answers[0].code)

    try:
        asyncio.run(fetch())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for fd in taken:
            os.close(fd)
        reserve.close()
    assert set(answers) == {200}


@pytest.mark.parametrize("fields", [{}, {"range": "bytes=1-2"}])
def test_a_kept_file_when_there_are_no_descriptors(
    handler: Files, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str]
) -> None:
    """It is opened again, which takes one of those that are held back, or is a 503."""
    before = ask(handler, "/big.bin", **fields)

    def refuse(_: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "dup", refuse)
    after = ask(handler, "/big.bin", **fields)
    assert (after.code, after.body) == (before.code, before.body)


def test_a_file_that_moves_away_is_gone(handler: Files, root: Path) -> None:
    """The same file with the same content, but outside of the folder now."""
    assert ask(handler, "/a.txt").code == 200
    (root / "a.txt").rename(root.parent / "moved.txt")
    (root / "a.txt").symlink_to("../moved.txt")
    assert ask(handler, "/a.txt").code == 404


def test_a_file_that_just_changed_is_not_kept(handler: Files, root: Path) -> None:
    """Two changes within one tick of the file system's clock have the same mtime."""
    path = root / "a.txt"
    at = time.time_ns()
    for data in (b"one", b"two"):
        path.write_bytes(data)
        os.utime(path, ns=(at, at))
        assert ask(handler, "/a.txt").body == data


def test_one_look_at_a_file_for_requests_at_the_same_time(
    handler: Files, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one iteration of the event loop. A later request sees what has changed since."""
    ask(handler, "/a.txt")
    looks = 0
    real = os.stat

    def counted(path: str, **options: bool) -> os.stat_result:
        nonlocal looks
        looks += str(path).endswith("a.txt")
        return real(path, **options)

    monkeypatch.setattr(os, "stat", counted)

    async def several() -> list[bytes]:
        requests = [Fake("GET", "/a.txt", []) for _ in range(5)]
        await asyncio.gather(*map(handler, requests))
        return [answer.body for request in requests for answer in request.answers]

    async def main() -> None:
        assert await several() == [b"hello"] * 5
        assert looks == (1 if ONE_LOOK else 5)
        (root / "a.txt").write_bytes(b"HELLO")
        assert await several() == [b"HELLO"] * 5

    asyncio.run(main())


def test_a_look_is_not_valid_in_another_loop(handler: Files, root: Path) -> None:
    """The loop before has ended before it could forget."""

    async def fetch() -> bytes:
        request = Fake("GET", "/a.txt", [])
        await handler(request)
        asyncio.get_running_loop().stop()
        return request.answers[0].body

    def step() -> bytes:
        loop = asyncio.new_event_loop()
        task = loop.create_task(fetch())
        loop.run_forever()
        loop.close()
        return task.result()

    assert [step(), step()] == [b"hello", b"hello"]
    (root / "a.txt").write_bytes(b"HELLO")
    assert step() == b"HELLO"


def test_a_date_is_never_in_the_future(handler: Files, root: Path) -> None:
    os.utime(root / "a.txt", (time.time() + 3600, time.time() + 3600))
    answer = ask(handler, "/a.txt")
    modified = parse_date(answer.get("last-modified") or "")
    assert modified is not None
    assert modified <= time.time()


def test_memory_is_bounded(root: Path) -> None:
    handler = Files(root, cache_size=SMALL_FILE + 100)
    cache = handler._store.cache
    for number in range(20):
        path = root / f"{number}.bin"
        path.write_bytes(bytes(SMALL_FILE // 4))
        os.utime(path, (OLD, OLD))
    for _ in range(2):
        for number in range(20):
            assert ask(handler, f"/{number}.bin?{number}").code == 200
            kept = [k.weight for k in cache.files.values()]
            assert sum(kept) + cache.left == SMALL_FILE + 100 and cache.left >= 0
    assert len(cache.files) == 4
    assert MAX_CACHED >= 4


def test_no_memory_at_all(root: Path) -> None:
    handler = Files(root, cache_size=0)
    assert ask(handler, "/a.txt").body == ask(handler, "/a.txt").body == b"hello"
    assert ask(handler, "/empty").body == b""


def open_descriptors() -> set[str]:
    """Return the open descriptors of this process; none if the system does not list them."""
    try:
        return set(os.listdir("/proc/self/fd"))
    except OSError:
        return set()


def test_no_descriptor_is_left_open(handler: Files, root: Path) -> None:
    ask(handler, "/big.bin")
    before = len(open_descriptors())
    for path in ("/a.txt", "/big.bin", "/", "/sub", "/none", "/with/", "/a.txt/", "/.hidden"):
        for fields in (
            {},
            {"range": "bytes=1-2"},
            {"if_match": '"x"'},
            {"range": "bytes=9999999-"},
        ):
            ask(handler, path, **fields)
            ask(handler, path, "HEAD", **fields)
    assert len(open_descriptors()) == before


class Broken(Fake):
    """A client that goes away after the first chunk."""

    async def respond(
        self, code: int, headers: Headers, data: bytes | AsyncIterable[bytes], /
    ) -> None:
        assert not isinstance(data, bytes)
        async for _ in data:
            raise ConnectionResetError


def test_the_descriptor_is_given_back_when_the_client_goes(handler: Files) -> None:
    asyncio.run(handler(Fake("GET", "/big.bin", [])))
    before = len(open_descriptors())
    with pytest.raises(ConnectionResetError):
        asyncio.run(handler(Broken("GET", "/big.bin", [])))
    assert len(open_descriptors()) == before


def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the system say that no file is in memory."""

    def refuse(*_: object) -> int:
        raise BlockingIOError

    if hasattr(os, "preadv"):
        monkeypatch.setattr(os, "preadv", refuse)


def test_a_descriptor_is_not_closed_under_a_reading_thread(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = os.pread
    seen: list[bool] = []

    def slow(fd: int, size: int, start: int) -> bytes:
        time.sleep(0.1)
        os.fstat(fd)  # still open
        seen.append(True)
        return read(fd, size, start)

    cold(monkeypatch)
    monkeypatch.setattr(os, "pread", slow)
    fd = os.open(root / "big.bin", os.O_RDONLY)

    async def scenario() -> None:
        body = file_body(fd, [Span(0, len(BIG))])
        task = asyncio.ensure_future(anext(body))
        await asyncio.sleep(0.02)
        task.cancel()
        body.close()
        await asyncio.to_thread(time.sleep, 0.15)
        await asyncio.sleep(0.02)

    asyncio.run(scenario())
    assert seen == [True]
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(fd)


def test_a_file_that_shrinks_while_sent_is_an_error_not_silence(root: Path) -> None:
    handler = Files(root)

    class Shrinking(Fake):
        async def respond(
            self, code: int, headers: Headers, data: bytes | AsyncIterable[bytes], /
        ) -> None:
            os.truncate(root / "big.bin", 1000)
            await super().respond(code, headers, data)

    with pytest.raises(EOFError, match="shorter"):
        asyncio.run(handler(Shrinking("GET", "/big.bin", [])))


def test_the_loop_goes_on_while_a_file_is_read(
    handler: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = os.pread

    def slow(fd: int, size: int, start: int) -> bytes:
        time.sleep(0.05)
        return read(fd, size, start)

    cold(monkeypatch)
    monkeypatch.setattr(os, "pread", slow)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    async def scenario() -> None:
        ticking = asyncio.create_task(tick())
        await handler(Fake("GET", "/big.bin", []))
        ticking.cancel()

    asyncio.run(scenario())
    assert ticks > 20


def test_log(root: Path) -> None:
    lines: list[tuple[str, int, int]] = []
    handler = Files(
        root, log=lambda request, code, size, _: lines.append((request.path, code, size))
    )
    for path in ("/a.txt", "/a.txt", "/big.bin"):
        ask(handler, path)
    ask(handler, "/big.bin", "HEAD")
    ask(handler, "/none")
    assert lines[:4] == [
        ("/a.txt", 200, 5),
        ("/a.txt", 200, 5),
        ("/big.bin", 200, len(BIG)),
        ("/big.bin", 200, 0),
    ]
    assert lines[4][:2] == ("/none", 404)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such files")
def test_neither_a_folder_nor_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Files(tmp_path / "none")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NotADirectoryError):
        Files(tmp_path / "fifo")


def test_large_files_are_whole(root: Path) -> None:
    data = os.urandom(CHUNK * 3 + 17)
    (root / "random").write_bytes(data)
    body = ask(Files(root), "/random").body
    assert hashlib.sha256(body).digest() == hashlib.sha256(data).digest()


@each_row(
    ("name", "kind"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.HTM", "text/html; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.png", "image/png"),
        ("a.svg", "image/svg+xml"),
        ("a.wasm", "application/wasm"),
        ("a.tar.gz", "application/gzip"),
        ("a.svgz", "application/gzip"),
        ("a.js.gz", "application/gzip"),
        ("a.m4a", "audio/mp4"),
        ("a.flac", "audio/flac"),
        ("a.ogg", "audio/ogg"),
        ("a.xhtml", "application/xhtml+xml"),
        ("a.rss", "application/rss+xml"),
        ("a.geojson", "application/geo+json"),
        ("a.gltf", "model/gltf+json"),
        ("a.epub", "application/epub+zip"),
        ("ca.crt", "application/x-x509-ca-cert"),
        ("rootCA.pem", "application/x-x509-ca-cert"),
        ("a.ico", "image/vnd.microsoft.icon"),
        ("a.rs", "text/plain; charset=utf-8"),
        ("a.ts", "text/plain; charset=utf-8"),
        ("a.py", "text/plain; charset=utf-8"),
        ("a.unknown", "application/octet-stream"),
        ("html", "application/octet-stream"),
        ("data:text/html,x", "application/octet-stream"),
    ],
)
def test_content_types(name: str, kind: str) -> None:
    assert content_type(name) == kind
