"""The page of a folder: its rows, their order, the README, and archives of the folder."""

import asyncio
import base64
import hashlib
import io
import os
import re
import tarfile
import threading
import zipfile
from collections.abc import AsyncIterable
from pathlib import Path

import pytest

from cno.cli.archive import MAX_AT_ONCE, attachment
from cno.cli.files import Files
from cno.cli.listing_page import SortOrder, parse_order, size_in_kib
from cno.cli.readme import MAX_RENDERED, MAX_SHOWN, find_readme, render
from tests.cli.test_files import OLD, Answer, Fake, Headers, ask
from tests.rows import each_row


@pytest.fixture
def root(tmp_path: Path) -> Path:
    public = tmp_path / "pub & lic"
    (public / "sub" / "deep").mkdir(parents=True)
    for number, (name, size) in enumerate({"a10.txt": 3000, "A2.txt": 10, "b.bin": 70000}.items()):
        (public / name).write_bytes(bytes(size))
        os.utime(public / name, (OLD + number, OLD + number))
    (public / "sub" / "x").write_bytes(b"x")
    os.utime(public / "sub", (OLD, OLD))
    return public


def page_of(root: Path, path: str = "/") -> str:
    answer = ask(Files(root), path)
    assert answer.code == 200
    return answer.body.decode()


def names_of(page: str) -> list[str]:
    rows = page.partition("<tbody>")[2]
    return re.findall(r'<a href="[^"]*">([^<]*)</a></td>', rows)


def test_what_a_page_shows(root: Path) -> None:
    page = page_of(root)
    assert "<title>pub &amp; lic/</title>" in page
    assert "<h1>pub &amp; lic/</h1>" in page
    assert "1 folder, 3 files, 71 KiB" in page
    assert '<time datetime="1994-11-06T08:49Z">' in page
    deep = page_of(root, "/sub/deep/")
    assert "<title>deep/</title>" in deep
    crumbs = '<a href="../../">pub &amp; lic</a>/<wbr><a href="../">sub</a>/<wbr>deep/'
    assert crumbs in deep
    assert "This folder is empty." in deep
    assert str(root.parent) not in page + deep


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["sub/", "A2.txt", "a10.txt", "b.bin"]),
        ("?sort=name&order=desc", ["sub/", "b.bin", "a10.txt", "A2.txt"]),
        ("?sort=size", ["sub/", "A2.txt", "a10.txt", "b.bin"]),
        ("?sort=size&order=desc", ["sub/", "b.bin", "a10.txt", "A2.txt"]),
        ("?sort=date", ["sub/", "a10.txt", "A2.txt", "b.bin"]),
        ("?sort=date&order=desc", ["sub/", "b.bin", "A2.txt", "a10.txt"]),
        ("?sort=none&order=desc", ["sub/", "A2.txt", "a10.txt", "b.bin"]),
    ],
)
def test_order(root: Path, query: str, names: list[str]) -> None:
    assert names_of(page_of(root, f"/{query}")) == names


def test_the_order_stays_while_one_walks_about(root: Path) -> None:
    page = page_of(root, "/sub/?sort=size&order=desc")
    assert 'href="./deep/?sort=size&amp;order=desc"' in page
    assert page.count('href="../?sort=size&amp;order=desc"') == 2  # the path, and the first row
    assert '<th aria-sort="descending"><a href="./?sort=size">Size ▾</a>' in page
    assert '<a href="./?sort=date&amp;order=desc">Changed</a>' in page
    assert '<a href="./">Name</a>' in page


def test_orders_that_are_none() -> None:
    for target in ("/", "/?sort=", "/?sort=x", "/?" + "&" * 200 + "sort=size", "/?sort=size" * 99):
        assert parse_order(target) == SortOrder(), target
    assert parse_order("/?x=1&sort=size") == SortOrder("size")


def test_sizes_are_in_one_unit() -> None:
    sizes = {0: "0 KiB", 1: "0.1 KiB", 1536: "1.5 KiB", 10240: "10 KiB", 1 << 32: "4,194,304 KiB"}
    assert {size: size_in_kib(size) for size in sizes} == sizes


def test_the_policy_allows_what_the_page_has(root: Path) -> None:
    """One script, whose hash the policy has; nothing from other sites, no frames."""
    answer = ask(Files(root), "/")
    policy = answer.get("content-security-policy") or ""
    page = answer.body.decode()
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "http:" not in re.sub("http://www.w3.org/2000/svg", "", page)
    assert " on" not in re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)


# -- the README ------------------------------------------------------------------------------------


def test_a_readme_is_shown(root: Path) -> None:
    (root / "README.txt").write_text("plain <b>")
    (root / "sub" / "ReadMe.MD").write_text("# Title\n\n*em* <script>alert(1)</script>\n")
    assert "<pre>plain &lt;b&gt;</pre>" in page_of(root)
    page = page_of(root, "/sub/")
    assert "<h1>Title</h1>" in page and "<em>em</em>" in page
    assert "<script>alert" not in page and "&lt;script&gt;" in page
    assert 'class="readme"' not in page_of(root, "/sub/deep/")


def test_the_best_readme() -> None:
    assert find_readme(["readme", "README.md", "Readme.txt"]) == "README.md"
    assert find_readme(["readme.html", "x"]) is None


@each_row(
    "text",
    [
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html,y)",
        "<img src=x onerror=alert(1)>",
        '[x](/a"onclick="b)',
        "![x](vbscript:y)",
        "<javascript:alert(1)>",
    ],
)
def test_a_readme_does_nothing(text: str) -> None:
    html = render("README.md", text)
    for tag in re.findall("<[^>]*>", html):
        assert not re.search(r"""(script:|data:| on\w+=|<img(?! src="[^"]*" alt))""", tag, re.I), (
            tag
        )


def test_readmes_that_are_not_rendered(root: Path) -> None:
    assert render("README.md", "*a* " * MAX_RENDERED).startswith("<pre>")
    assert render("README", " \n") == render("README", "a\0b") == ""
    assert render("README.md", "*a*", more=True) == "<pre>*a*…</pre>"
    (root / "README").write_bytes(b"\xff<" * MAX_SHOWN)
    page = page_of(root)
    assert "&lt;" in page and "…</pre>" in page
    assert len(page) < 8 * MAX_SHOWN
    (root / "README").unlink()
    (root / "README").symlink_to("/etc/hostname")
    assert 'class="readme"' not in page_of(root)


# -- archives --------------------------------------------------------------------------------------


class Streamed(Fake):
    """A request whose response may come in pieces of any size, without a length."""


def download(handler: Files, path: str, method: str = "GET") -> Answer:
    request = Streamed(method, path, [(":authority", "a")])
    asyncio.run(asyncio.wait_for(handler(request), 10))
    (answer,) = request.answers
    return answer


class Held(Fake):
    """A client that reads no more than the first piece until an event."""

    def __init__(self, event: asyncio.Event, path: str) -> None:
        super().__init__("GET", path, [(":authority", "a")])
        self._event = event

    async def respond(
        self, code: int, headers: Headers, data: bytes | AsyncIterable[bytes], /
    ) -> None:
        assert not isinstance(data, bytes)
        async for _ in data:
            await self._event.wait()


@pytest.fixture
def full(root: Path) -> Path:
    (root / ".hidden").write_bytes(b"no")
    (root / "inner").symlink_to("b.bin")
    (root / "outer").symlink_to("/etc/passwd")
    (root / "loop").symlink_to(".")
    (root / "sub" / ("ü" * 60 + "n" * 100)).write_bytes(b"long")
    (root / os.fsdecode(b"latin-\xe9")).write_bytes(b"l")
    os.chmod(root / "a10.txt", 0o755)
    return root


def test_tar(full: Path) -> None:
    answer = download(Files(full), "/?archive=tar")
    assert answer.get("content-type") == "application/x-tar"
    disposition = answer.get("content-disposition") or ""
    assert disposition.startswith("attachment; filename=\"pub & lic.tar\"; filename*=UTF-8''pub%20")
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
        members = {member.name: member for member in archive.getmembers()}
        assert set(members) == {
            *("a10.txt", "A2.txt", "b.bin", "inner", "sub", "sub/deep", "sub/x"),
            *(f"sub/{'ü' * 60}{'n' * 100}", os.fsdecode(b"latin-\xe9")),
        }
        assert members["sub"].isdir()
        content = archive.extractfile("inner")
        assert content is not None and content.read() == bytes(70000)
        assert members["a10.txt"].mode == 0o755 and members["A2.txt"].mode == 0o644
        assert members["a10.txt"].mtime == OLD
    with tarfile.open(fileobj=io.BytesIO(download(Files(full), "/sub/?archive=tar").body)) as sub:
        assert "x" in sub.getnames() and "deep" in sub.getnames()


def test_zip(full: Path) -> None:
    os.utime(full / "A2.txt", (0, 0))  # before the years that a zip file can have
    answer = download(Files(full), "/?archive=zip")
    assert answer.get("content-type") == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        assert {"a10.txt", "sub/", "sub/deep/", "sub/x", "latin-?"} <= set(archive.namelist())
        assert not {"outer", ".hidden", "loop/"} & set(archive.namelist())
        assert archive.read("b.bin") == bytes(70000)
        assert archive.getinfo("A2.txt").date_time[0] == 1980


def test_archives_are_linked_and_described(root: Path) -> None:
    page = page_of(root)
    assert '<a href="./?archive=zip" download>' in page
    assert '<a href="./?archive=tar" download>' in page
    head = download(Files(root), "/?archive=zip", "HEAD")
    assert (head.code, head.body) == (200, b"")
    assert download(Files(root), "/?archive=rar").get("content-type") == "text/html; charset=utf-8"
    assert download(Files(root, listing=False), "/?archive=tar").code == 403
    (root / "index.html").write_text("index")
    assert download(Files(root), "/?archive=tar").body == b"index"


def test_names_of_downloads() -> None:
    assert attachment('a"b\\c\r\né.tar') == (
        "attachment; filename=\"a_b_c___.tar\"; filename*=UTF-8''a%22b%5Cc%0D%0A%C3%A9.tar"
    )


def test_archives_are_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cno.cli.archive.MAX_MEMBERS", 5)
    assert download(Files(root), "/?archive=tar").code == 403
    assert download(Files(root), "/sub/?archive=tar").code == 200


@pytest.mark.parametrize("ending", ["tar", "zip"])
def test_few_archives_at_a_time(root: Path, ending: str) -> None:
    handler = Files(root)
    path = f"/?archive={ending}"
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    async def main() -> None:
        waiting = asyncio.Event()
        tasks = [asyncio.create_task(handler(Held(waiting, path))) for _ in range(MAX_AT_ONCE)]
        for _ in range(200):
            await asyncio.sleep(0.005)
        refused = Fake("GET", path, [])
        await handler(refused)
        assert refused.answers[0].code == 503
        for task in tasks[1:]:
            task.cancel()
        waiting.set()
        await asyncio.wait(tasks)
        again = Fake("GET", path, [])
        await handler(again)
        assert again.answers[0].code == 200

    asyncio.run(main())
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_a_thread_that_reads_is_waited_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client goes while a thread reads: the file is closed by the end of that."""
    entered, leave = threading.Event(), threading.Event()
    read = os.pread

    def slow(fd: int, size: int, start: int) -> bytes:
        entered.set()
        leave.wait(5)
        return read(fd, size, start)

    handler = Files(root)
    before = sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []

    async def main() -> None:
        monkeypatch.setattr(os, "pread", slow)
        task = asyncio.create_task(handler(Fake("GET", "/?archive=tar", [])))
        await asyncio.to_thread(entered.wait, 5)
        task.cancel()
        await asyncio.wait({task})
        leave.set()
        await asyncio.get_running_loop().shutdown_default_executor()

    asyncio.run(main())
    if before:
        assert len(os.listdir("/proc/self/fd")) <= len(before)


def test_a_file_that_shrinks_in_an_archive(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cno.cli.archive.read_all", lambda *_: b"")
    for ending in ("tar", "zip"):
        with pytest.raises(EOFError, match="shorter"):
            download(Files(root), f"/?archive={ending}")
