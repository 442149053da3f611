"""Uploads: where they go, who may upload, and what becomes of uploaded pages."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from cno.cli.files import Files
from cno.cli.site import Site
from cno.cli.uploads import MAX_AT_ONCE, MAX_NAME, UploadRules, is_cross_site, is_good_name
from tests.cli.commands import Here
from tests.cli.test_files import Answer, Fake, ask


@pytest.fixture
def root(tmp_path: Path) -> Path:
    public = tmp_path / "public"
    (public / "in" / "deep").mkdir(parents=True)
    (public / "in" / "old.txt").write_text("old")
    (public / "page.js").write_text("original " * 200)
    os.utime(public / "page.js", (10**9, 10**9))
    return public


def put(handler: Files, path: str, body: bytes = b"new", **fields: str) -> Answer:
    headers = [(name.replace("_", "-"), value) for name, value in fields.items()]
    request = Fake("PUT", path, [(":authority", "a"), *headers])
    request.body = body
    asyncio.run(asyncio.wait_for(handler(request), 10))
    (answer,) = request.answers
    return answer


def taking(root: Path, into: str = "in", size: int = 1000, site: Site | None = None) -> Files:
    return Files(root, upload=UploadRules(into, size), site=site)


def test_an_upload(root: Path) -> None:
    handler = taking(root, site=Site(prefix="/p"))
    answer = put(handler, "/p/in/deep/a%20b.txt", b"x" * 1000)
    assert (answer.code, answer.get("location")) == (201, "/p/in/deep/a%20b.txt")
    assert (root / "in" / "deep" / "a b.txt").read_bytes() == b"x" * 1000
    assert ask(handler, "/p/in/deep/a%20b.txt").body == b"x" * 1000
    assert put(taking(root, "."), "/empty", b"").code == 201
    assert (root / "empty").read_bytes() == b""
    assert ask(handler, "/p/", "OPTIONS").get("allow") == "GET, HEAD, OPTIONS, PUT"


def test_nothing_is_taken_unless_asked(root: Path) -> None:
    answer = put(Files(root), "/in/a")
    assert (answer.code, answer.get("allow")) == (405, "GET, HEAD, OPTIONS")

    request = Fake("POST", "/in/b", [(":authority", "a")])
    asyncio.run(taking(root)(request))
    assert request.answers[0].code == 405


def test_nothing_is_replaced(root: Path) -> None:
    (root / "in" / "link").symlink_to("nowhere")
    for name in ("old.txt", "deep", "link"):
        assert put(taking(root), f"/in/{name}").code == 409, name
    assert (root / "in" / "old.txt").read_text() == "old"
    assert put(taking(root), "/in/new", if_match="*").code == 412
    assert not (root / "in" / "new").exists()
    assert left_behind(root) == []


def left_behind(root: Path) -> list[str]:
    return [str(path) for path in root.rglob(".upload-*")]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/a", 405),  # beside the folder
        ("/in", 405),
        ("/in/", 405),
        ("/in/a/", 405),
        ("/in/none/a", 404),
        ("/in/old.txt/a", 404),
        ("/in/../a", 400),
        ("/in/%2e%2e%2fa", 400),
        ("/in/.hidden", 404),
        ("/in/out/a", 404),
        ("/in/aside/a", 403),
        ("/in/index.html", 403),
        ("/in/INDEX.html", 403),
        ("/in/404.html", 403),
        ("/in/a%0ab", 403),
        ("/in/a%3Ab", 403),
        ("/in/%e2%80%aeb", 403),
        ("/in/" + "n" * (MAX_NAME + 1), 403),
    ],
)
def test_where_nothing_goes(root: Path, path: str, code: int) -> None:
    (root / "in" / "out").symlink_to("/tmp")
    (root / "aside").mkdir()
    (root / "in" / "aside").symlink_to("../aside")
    before = sorted(root.rglob("*"))
    assert put(taking(root), path).code == code
    assert sorted(root.rglob("*")) == before


def test_the_size_is_bounded(root: Path) -> None:
    assert put(taking(root, size=10), "/in/a", b"x" * 11).code == 413
    assert put(taking(root, size=10), "/in/b", b"", content_length="11").code == 413
    assert put(taking(root, size=10), "/in/c", b"x" * 10).code == 201
    assert sorted(path.name for path in (root / "in").iterdir()) == ["c", "deep", "old.txt"]


@pytest.mark.parametrize(
    ("fields", "cross"),
    [
        ({}, False),
        ({":authority": "a:1", "origin": "http://a:1"}, False),
        ({":authority": "a:1", "origin": "http://A:1", "sec-fetch-site": "same-origin"}, False),
        ({":authority": "a:1", "origin": "http://a:2"}, True),
        ({":authority": "a", "origin": "null"}, True),
        ({":authority": "a", "sec-fetch-site": "cross-site"}, True),
        ({":authority": "a", "sec-fetch-site": "same-site"}, True),
        ({":authority": "a", "sec-fetch-site": "none"}, False),
        ({"origin": "http://a"}, True),
    ],
)
def test_pages_of_other_sites(fields: dict[str, str], cross: bool) -> None:
    assert is_cross_site(list(fields.items())) is cross


def test_who_may_not_upload(root: Path) -> None:
    assert put(taking(root), "/in/a", origin="http://evil").code == 403
    # An attacker can make a name resolve to this machine: its pages may not upload.
    rules = UploadRules("in", allow_host=lambda authority: authority == "localhost")
    assert put(Files(root, upload=rules), "/in/a", origin="http://a").code == 403
    secured = taking(root, site=Site(auth="me:secret", cors=True))
    assert put(secured, "/in/a").code == 401
    methods = ask(secured, "/in/a", "OPTIONS").get("access-control-allow-methods") or ""
    assert "PUT" not in methods
    assert put(taking(root), "/in/a", content_range="bytes 0-1/2").code == 400
    assert put(taking(root), "/in/a", content_encoding="gzip").code == 415
    assert not (root / "in" / "a").exists()


def test_uploaded_pages_do_nothing_here(root: Path) -> None:
    handler = taking(root, ".", 10**6)
    for name, kind in (("x.html", "text/html"), ("x.svg", "image/svg+xml"), ("x.xhtml", "")):
        assert put(handler, f"/{name}", b"<script>" * 100).code == 201
        for accept in ("identity", "gzip"):
            answer = ask(handler, f"/{name}", accept_encoding=accept)
            assert answer.get("content-security-policy") == "sandbox", name
            assert kind in (answer.get("content-type") or "")
    assert put(handler, "/x.txt").code == 201
    assert ask(handler, "/x.txt").get("content-security-policy") is None
    (root / "own.html").write_text("own")
    assert ask(taking(root), "/own.html").get("content-security-policy") is None
    (root / "alias.html").symlink_to("in/page.html")
    assert put(taking(root), "/in/page.html").code == 201
    assert ask(taking(root), "/alias.html").get("content-security-policy") == "sandbox"


def test_an_upload_stands_for_no_other_file(root: Path) -> None:
    """A compressed file beside a file would be sent in its place."""
    handler = taking(root, ".")
    assert put(handler, "/page.js.gz", b"evil").code == 201
    assert b"original" in ask(handler, "/page.js").body
    assert ask(handler, "/page.js", accept_encoding="gzip").body[:2] == b"\x1f\x8b"


def test_the_page_has_a_field_for_files(root: Path) -> None:
    handler = taking(root)
    for path, has in (("/in/", True), ("/in/deep/", True), ("/", False)):
        answer = ask(handler, path)
        assert (b'type="file"' in answer.body) is has, path
        policy = answer.get("content-security-policy") or ""
        assert ("connect-src 'self'" in policy) is has
        assert answer.body.count(b"<script>") == policy.count("'sha256-")


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, 507), (errno.EACCES, 403), (errno.EROFS, 403)]
)
def test_a_disk_that_takes_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "write", refuse)
    assert put(taking(root), "/in/a").code == code
    assert left_behind(root) == []


def test_a_file_system_without_hard_links(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no")

    monkeypatch.setattr(os, "link", refuse)
    assert put(taking(root), "/in/a", b"whole").code == 201
    assert (root / "in" / "a").read_bytes() == b"whole"
    assert left_behind(root) == []


def test_two_at_the_same_time(root: Path) -> None:
    """A file is there whole or not at all; the second one gets 409, and cancelled ones vanish."""
    handler = taking(root, size=10**6)

    class Slow(Fake):
        def __init__(self, path: str) -> None:
            super().__init__("PUT", path, [(":authority", "a")])
            self.reader = asyncio.StreamReader()

        @property
        def payload(self) -> asyncio.StreamReader:
            return self.reader

    async def main() -> None:
        first, second = Slow("/in/a"), Slow("/in/a")
        tasks = [asyncio.create_task(handler(each)) for each in (first, second)]
        for each in (first, second):
            each.reader.feed_data(b"x" * 1000)
        await asyncio.sleep(0.01)
        assert ask_later(root) == []
        first.reader.feed_eof()
        await tasks[0]
        second.reader.feed_eof()
        await tasks[1]
        assert [each.answers[0].code for each in (first, second)] == [201, 409]
        held = [Slow(f"/in/{number}") for number in range(MAX_AT_ONCE)]
        tasks = [asyncio.create_task(handler(each)) for each in held]
        await asyncio.sleep(0.01)
        refused = Slow("/in/more")
        refused.reader.feed_eof()
        await handler(refused)
        assert refused.answers[0].code == 503
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    def ask_later(folder: Path) -> list[str]:
        return [path.name for path in (folder / "in").iterdir() if path.name == "a"]

    asyncio.run(main())
    assert (root / "in" / "a").read_bytes() == b"x" * 1000
    assert left_behind(root) == []
    assert sorted(path.name for path in (root / "in").iterdir()) == ["a", "deep", "old.txt"]


def test_names_that_any_system_takes() -> None:
    assert all(map(is_good_name, ("a", "ü.txt", "a b", "x" * MAX_NAME)))
    for name in (".a", "a.", " a", "a ", "a\nb", "a:b", "a*b", "\u202eb", "\udcff", "x" * 256):
        assert not is_good_name(name), name


@pytest.mark.parametrize("into", ["none", "..", "page.js", "/etc"])
def test_folders_that_take_nothing(root: Path, into: str, here: Here) -> None:
    result = here("serve", str(root), "--upload", into, "--port", "0")
    assert result.status in (1, 2)
    assert result.stderr.startswith("cno: cannot")


def test_sizes_on_the_command_line(here: Here) -> None:
    result = here("serve", ".", "--upload", ".", "--max-upload", "12x")
    assert result.status == 2 and "12x" in result.stderr
