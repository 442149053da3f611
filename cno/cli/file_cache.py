"""Files of a folder that are kept: the content of small ones, the descriptors of larger ones.
A file with several content codings is kept once for each.

Knows files, and what shows that one has changed. Must never know a request or a response.
"""

import asyncio
import os
import sys
import time
from typing import Final, NamedTuple

from cno.aio.file_range import HAS_PREAD, FileRange
from cno.cli.conditions import Headers, Validators

#: Cached files, whatever their size.
MAX_CACHED: Final = 1_024
#: Of those, files whose descriptors are kept open.
MAX_OPEN: Final = 128
# Seconds. A file that changed this recently may change again with the same mtime and size, so it is
# not cached.
_SETTLED: Final = 2.0

#: Whether requests that are handled in the same iteration of the event loop share a look at a file.
#: From Python 3.12 on, a handler starts as soon as its request is read: the file may have changed
#: since the handler before has looked.
ONE_LOOK: Final = sys.version_info < (3, 12)

Signature = tuple[int, int, int, int, int]


class CachedFile(NamedTuple):
    """A file, with the signature that shows whether it has changed.

    `source`: the content of a small file, the descriptor of a larger one. `codings`: the content
    codings that it can be sent in, beside its own (`coding`), the best one first; they are valid
    until `codings_until`, a time of `time.monotonic`.
    """

    path: str
    signature: Signature
    headers: Headers
    source: bytes | int
    size: int
    kind: str
    validators: Validators
    coding: str = ""
    codings: tuple[str, ...] = ()
    codings_until: float = 0.0

    @property
    def weight(self) -> int:
        """The bytes of memory that it takes."""
        return len(self.source) if isinstance(self.source, bytes) else 0

    def body(self, method: str) -> bytes | FileRange:
        """Return the whole content as a body."""
        if method == "HEAD":
            return b""
        if isinstance(self.source, bytes):
            return self.source
        return FileRange(os.dup(self.source), 0, self.size)

    def close(self) -> None:
        if isinstance(self.source, int):
            os.close(self.source)


def signature(info: os.stat_result) -> Signature:
    """Return values that change when a file is written, renamed, replaced or changes its mode."""
    return (info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino, info.st_dev)


class FileCache:
    """Files by the paths of the requests for them. `size`: bytes of content; 0: none is kept."""

    def __init__(self, size: int) -> None:
        self.files: dict[str, CachedFile] = {}
        self._open_keys: dict[str, None] = {}  # those whose descriptors are kept
        self._checked: set[str] = set()  # those looked at in this iteration of the event loop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._size = self.left = size

    def get(self, key: str) -> CachedFile | None:
        """Return a file that has not changed; None: look at the disk."""
        cached = self.files.get(key)
        if cached is None:
            return None
        if key in self._checked and asyncio.get_running_loop() is self._loop:
            return cached
        try:
            fresh = signature(os.stat(cached.path)) == cached.signature
        except OSError:
            fresh = False
        if not fresh:
            self._drop(key)
            return None
        if ONE_LOOK:
            self._remember(key)
        return cached

    def _remember(self, key: str) -> None:
        """Look at a file no second time in this iteration of the event loop."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._checked.clear()  # the loop before may have ended without a further iteration
        if not self._checked:
            loop.call_soon(self._checked.clear)
        self._checked.add(key)

    def keep(self, key: str, file: CachedFile) -> bool:
        """Keep a file, of a large one a duplicate of its descriptor. Return whether it is kept."""
        if isinstance(file.source, bytes):
            return self.add(key, file)
        if self._size == 0 or not HAS_PREAD:
            return False
        try:
            own = os.dup(file.source)
        except OSError:
            return False
        if self.add(key, file._replace(source=own)):
            return True
        os.close(own)
        return False

    def add(self, key: str, file: CachedFile) -> bool:
        """Keep a file, unless it is too large or has just changed. Return whether it is kept."""
        size = file.weight
        modified = file.validators.modified
        changed = file.signature[1] / 1e9 if modified is None else modified
        if time.time() - changed < _SETTLED or size > self._size:
            return False
        if key in self.files:
            self._drop(key)
        while self.files and (size > self.left or len(self.files) >= MAX_CACHED):
            self._drop(next(iter(self.files)))  # the oldest
        self.files[key] = file
        self.left -= size
        if isinstance(file.source, int):
            self._open_keys[key] = None
            while len(self._open_keys) > MAX_OPEN:
                self._drop(next(iter(self._open_keys)))
        return True

    def close(self) -> None:
        """Close the descriptors, and forget all files."""
        while self.files:
            self._drop(next(iter(self.files)))

    def _drop(self, key: str) -> None:
        dropped = self.files.pop(key)
        self._checked.discard(key)
        self._open_keys.pop(key, None)
        self.left += dropped.weight
        dropped.close()

    def __del__(self) -> None:
        self.close()
