"""Listings of folders, shared by concurrent requests and cached for a short time.

A request of a few bytes can ask for the listing of a large folder, which takes long to make and is
large. This module bounds that work: listings made at a time, requests that wait, and how soon a
listing is made again. Knows folders, threads and time. Must never know a request.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import cache, partial
from typing import Final, NamedTuple

from cno.cli.archive import KINDS
from cno.cli.listing import list_folder
from cno.cli.listing_page import POLICY, UPLOAD_POLICY, USUAL, Listing, SortOrder, listing_page
from cno.cli.paths import Folder, Refused
from cno.cli.readme import find_readme, read_readme

#: Listings made at a time, and listings that may wait. Beyond, requests are refused (503).
THREADS: Final = 2
MAX_PENDING: Final = 64
#: Bytes of cached pages.
MAX_CACHED_BYTES: Final = 16 << 20
#: A listing is not made again for PAUSE_FACTOR times as long as it took: at most a tenth of a CPU.
PAUSE_FACTOR: Final = 10
#: Seconds for which a page is valid while its folder is unchanged; the sizes of files may change.
LIFETIME: Final = 2.0

Signature = tuple[int, int, int, int]
#: The names of a folder from the root down, and the order of its listing.
Key = tuple[tuple[str, ...], SortOrder]


class Page(NamedTuple):
    """A cached listing, with the folder's signature before it was made.

    In seconds of `time.monotonic`: until `may_change_at` the page is valid, until `stale_at` it is
    valid if the folder's signature is the same.
    """

    signature: Signature
    data: bytes
    may_change_at: float
    stale_at: float


@cache
def threads() -> ThreadPoolExecutor:
    """Return the threads that make listings."""
    return ThreadPoolExecutor(THREADS, thread_name_prefix="cno-listing")


class ListingCache:
    """The listings of the folders below `folder`."""

    def __init__(self, folder: Folder, into: tuple[str, ...] | None = None) -> None:
        self._folder = folder
        self._into = into  # files may be uploaded into this folder and those below; None: nowhere
        self._pages: dict[Key, Page] = {}
        self._cache_left = MAX_CACHED_BYTES
        self._pending: dict[Key, asyncio.Task[bytes]] = {}

    async def page(self, segments: Sequence[str], order: SortOrder = USUAL) -> bytes:
        """Return the page of a folder. Raises Refused (503: too many requests wait) or OSError."""
        key = (tuple(segments), order)
        cached = self._pages.get(key)
        if cached is not None and self._is_fresh(cached, key):
            return cached.data
        task = self._pending.get(key)
        if task is None:
            if len(self._pending) >= MAX_PENDING:
                raise Refused(503)
            # A context of its own: several requests may wait for this task.
            task = asyncio.create_task(self._make(key), context=Context())
            self._pending[key] = task
            task.add_done_callback(partial(self._finished, key))
        return await asyncio.shield(task)

    def accepts_uploads(self, segments: Sequence[str]) -> bool:
        """Return whether files may be uploaded into a folder."""
        return self._into is not None and tuple(segments[: len(self._into)]) == self._into

    def policy(self, segments: Sequence[str]) -> str:
        """Return the Content-Security-Policy of a folder's page."""
        return UPLOAD_POLICY if self.accepts_uploads(segments) else POLICY

    def _is_fresh(self, page: Page, key: Key) -> bool:
        now = time.monotonic()
        if now < page.may_change_at:
            return True
        if now >= page.stale_at:
            return False
        try:
            return signature(os.stat(self._folder.path(key[0]))) == page.signature
        except OSError:
            return False

    async def _make(self, key: Key) -> bytes:
        loop = asyncio.get_running_loop()
        page = await loop.run_in_executor(
            threads(), make_page, self._folder, *key, self.accepts_uploads(key[0])
        )
        self._cache(key, page)
        return page.data

    def _finished(self, key: Key, task: "asyncio.Task[bytes]") -> None:
        del self._pending[key]
        # Retrieve the exception: every request that waited for it may have been cancelled.
        if task.cancelled() or task.exception() is not None:
            self._drop_cached(key)

    def _cache(self, key: Key, page: Page) -> None:
        self._drop_cached(key)
        size = len(page.data)
        while self._pages and size > self._cache_left:
            self._drop_cached(next(iter(self._pages)))  # the oldest
        if size <= self._cache_left:
            self._pages[key] = page
            self._cache_left -= size

    def _drop_cached(self, key: Key) -> None:
        page = self._pages.pop(key, None)
        if page is not None:
            self._cache_left += len(page.data)


def make_page(folder: Folder, segments: Sequence[str], order: SortOrder, upload: bool) -> Page:
    """List a folder. Blocks. Raises Refused or OSError."""
    began = time.monotonic()
    before = os.stat(folder.path(segments))
    entries, more = list_folder(folder, segments)
    readme = find_readme(entry.name for entry in entries if entry.size is not None)
    text = read_readme(folder, [*segments, readme]) if readme else ""
    data = listing_page(
        Listing(folder.name, segments, entries, more, order, text, tuple(KINDS), upload)
    )
    now = time.monotonic()
    may_change_at = now + PAUSE_FACTOR * (now - began)
    # A folder that changed within the resolution of its mtime may change again unnoticed.
    is_settled = time.time() - before.st_mtime > LIFETIME
    stale_at = max(may_change_at, now + LIFETIME) if is_settled else may_change_at
    return Page(signature(before), data, may_change_at, stale_at)


def signature(info: os.stat_result) -> Signature:
    """Return values that change when a name is added or removed, or the folder is replaced."""
    return (info.st_mtime_ns, info.st_ctime_ns, info.st_ino, info.st_dev)
