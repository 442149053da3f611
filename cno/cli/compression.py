"""Compresses the content of small files by gzip, in threads, few at a time.

Only content that is the same for everyone is compressed, so that the size of a response says
nothing about a secret (BREACH). Knows threads. Must never know a request or a path.
"""

import asyncio
import gzip
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import cache, partial
from typing import Final

#: Bytes below which compressing does not pay.
MIN_SIZE: Final = 512
#: Files compressed at a time, and files that may wait. Beyond, they are sent as they are.
THREADS: Final = 2
MAX_PENDING: Final = 64
#: The compressed content must be smaller than this part of the content.
WORTHWHILE: Final = 0.95
LEVEL: Final = 6


@cache
def threads() -> ThreadPoolExecutor:
    """Return the threads that compress."""
    return ThreadPoolExecutor(THREADS, thread_name_prefix="cno-gzip")


class Compressor:
    """Compresses contents; requests for the same one share the work."""

    def __init__(self) -> None:
        self._pending: dict[Hashable, asyncio.Task[bytes]] = {}

    def is_free(self, key: Hashable) -> bool:
        """Return whether `compress` takes this content on."""
        return key in self._pending or len(self._pending) < MAX_PENDING

    async def compress(self, key: Hashable, data: bytes) -> bytes:
        """Return the compressed data; `key` stands for the content.

        Cancelling stops no work that others wait for.
        """
        task = self._pending.get(key)
        if task is None:
            # A context of its own: several requests may wait for this task.
            task = asyncio.create_task(in_thread(data), context=Context())
            self._pending[key] = task
            task.add_done_callback(partial(self._finished, key))
        return await asyncio.shield(task)

    def _finished(self, key: Hashable, task: "asyncio.Task[bytes]") -> None:
        del self._pending[key]
        if not task.cancelled():
            task.exception()  # every request that waited for it may have been cancelled


async def in_thread(data: bytes) -> bytes:
    return await asyncio.get_running_loop().run_in_executor(threads(), compressed, data)


def compressed(data: bytes) -> bytes:
    """Return the data compressed by gzip, without a time: the same each time."""
    return gzip.compress(data, LEVEL, mtime=0)
