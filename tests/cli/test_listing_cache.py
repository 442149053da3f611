"""Listings: shared by concurrent requests, few at a time, cached within limits, soon renewed."""

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from cno.cli import listing_cache
from cno.cli.files import Files
from cno.cli.listing import MAX_LISTED, list_folder
from cno.cli.listing_cache import MAX_PENDING, THREADS, ListingCache
from cno.cli.pages import Entry
from cno.cli.paths import MAX_DEPTH, Folder, Refused
from tests.cli.test_files import OLD, Fake, ask


class Slow:
    """A slow `list_folder` that counts its calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.05) -> None:
        self.calls = self.running = self.most = 0
        self.seconds = seconds
        self._lock = threading.Lock()
        monkeypatch.setattr("cno.cli.listing_cache.list_folder", self.list_folder)

    def list_folder(self, folder: Folder, segments: Sequence[str]) -> tuple[list[Entry], bool]:
        with self._lock:
            self.calls += 1
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(self.seconds)
        try:
            return list_folder(folder, segments)
        finally:
            with self._lock:
                self.running -= 1


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(100):
        (tmp_path / f"{number}" / "inner").mkdir(parents=True)
        os.utime(tmp_path / f"{number}", (OLD, OLD))
    return tmp_path


def test_many_share_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that is cancelled, even the first one, does not affect the others."""
    slow = Slow(monkeypatch)

    async def main() -> None:
        pages = ListingCache(Folder(str(root)))
        tasks = [asyncio.create_task(pages.page(["1"])) for _ in range(50)]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        tasks[7].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [n for n, each in enumerate(found) if isinstance(each, BaseException)] == [0, 7]
        first = found[1]
        assert isinstance(first, bytes) and b"inner/" in first
        assert all(each is first for each in found if isinstance(each, bytes))
        assert slow.calls == 1
        assert await pages.page(["1"]) is first

    asyncio.run(main())


def test_few_at_a_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch, 0.01)

    async def main() -> None:
        handler = Files(root)
        requests = [Fake("GET", f"/{number}/", []) for number in range(100)]
        await asyncio.gather(*(handler(request) for request in requests))
        answers = [request.answers[0] for request in requests]
        assert [answer.code for answer in answers[:MAX_PENDING]] == [200] * MAX_PENDING
        refused = answers[MAX_PENDING:]
        assert [answer.code for answer in refused] == [503] * (100 - MAX_PENDING)
        assert {answer.get("retry-after") for answer in refused} == {"1"}
        assert (slow.most, slow.calls) == (THREADS, MAX_PENDING)
        again = Fake("GET", "/99/", [])
        await handler(again)
        assert again.answers[0].code == 200

    asyncio.run(main())


def test_what_is_kept_is_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch, 0)

    async def main() -> None:
        size = len(await ListingCache(Folder(str(root))).page(["1"]))
        monkeypatch.setattr(listing_cache, "MAX_CACHED_BYTES", size * 4)
        monkeypatch.setattr(listing_cache, "LIFETIME", 60)
        pages = ListingCache(Folder(str(root)))
        for number in (1, 2, 3, 4, 5, 5, 4):
            await pages.page([str(number)])
        assert slow.calls == 1 + 5
        await pages.page(["1"])  # the oldest was dropped
        assert slow.calls == 1 + 6
        monkeypatch.setattr(listing_cache, "MAX_CACHED_BYTES", size - 100)
        pages = ListingCache(Folder(str(root)))
        for _ in range(2):
            assert len(await pages.page(["1"])) == size  # too large to be cached

    asyncio.run(main())


def test_a_folder_that_has_changed(root: Path) -> None:
    """A folder that is fast to list is listed again."""
    handler = Files(root)
    assert b"new" not in ask(handler, "/1/").body
    (root / "1" / "new").mkdir()
    time.sleep(0.3)  # ten times as long as it takes
    assert b"new" in ask(handler, "/1/").body
    (root / "1" / "new").rmdir()
    time.sleep(0.3)
    assert b"new" not in ask(handler, "/1/").body
    for folder in (root / "1" / "inner", root / "1"):
        folder.rmdir()
    assert ask(handler, "/1/").code == 404


def test_a_folder_that_is_costly(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that changes often takes at most a tenth of the time."""
    slow = Slow(monkeypatch, 0.05)
    handler = Files(root)
    began = time.monotonic()
    for number in range(20):
        (root / "1" / f"new{number}").touch()
        assert ask(handler, "/1/").code == 200
        time.sleep(0.02)
    assert slow.calls <= 1 + (time.monotonic() - began) / (0.05 * 10)


def test_failures_are_not_kept(root: Path) -> None:
    async def main() -> None:
        pages = ListingCache(Folder(str(root)))
        for _ in range(2):
            with pytest.raises(FileNotFoundError):
                await pages.page(["none"])
        (root / "none").mkdir()
        assert b"none" in await pages.page(["none"])
        (root / "file").touch()
        with pytest.raises(Refused):
            await pages.page(["file"])

    asyncio.run(main())


def test_long_names_make_no_endless_page(tmp_path: Path) -> None:
    for number in range(3_000):
        (tmp_path / f"{number:04}{'&' * 240}").touch()
    page = ask(Files(tmp_path), "/").body
    assert b"This folder has more entries" in page
    assert len(page) < 6 << 20
    assert 3_000 < MAX_LISTED


def test_a_path_that_leads_around(root: Path) -> None:
    """A link to its own folder makes paths of any length."""
    (root / "l").symlink_to(".")
    handler = Files(root)
    assert ask(handler, "/l" * (MAX_DEPTH - 2) + "/1/inner").code == 308
    for path in ("/l" * MAX_DEPTH + "/", "/l" * 30_000, "/" + "x" * 60_000):
        began = time.perf_counter()
        assert ask(handler, path).code == 404
        assert time.perf_counter() - began < 0.5


def test_one_page_of_each_error() -> None:
    from cno.cli.pages import error_page

    assert error_page(404) is error_page(404)
