"""Descriptors held back for files: connections must not take the last ones.

A process has a limited number of descriptors. Each connection takes one, and each response from a
large file another one. Without a reserve, many idle connections leave nothing to answer with. Knows
descriptors. Must never know a request or a connection.
"""

import contextlib
import os
from collections.abc import Callable
from errno import EMFILE, ENFILE
from typing import Final, TypeVar

T = TypeVar("T")

#: Descriptors that opening one file takes at the same time: the folder, the next folder, the file.
AT_ONCE: Final = 3
#: The size of the reserve of `cno serve`.
RESERVED: Final = 48
#: The most descriptors that `raise_limit` asks for.
MOST: Final = 65_536


class Reserve:
    """Up to `size` descriptors, open for no other purpose than to be closed when one is needed."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._spare: list[int] = []
        self.refill()

    @property
    def is_used(self) -> bool:
        """Whether descriptors are scarce: some of the reserve are in use."""
        return len(self._spare) < self._size

    def retry(self, call: Callable[[], T]) -> T:
        """Call a function that opens a file. If no descriptor is left, free some and call again."""
        try:
            return call()
        except OSError as error:
            if error.errno not in (EMFILE, ENFILE) or not self._spare:
                raise
        for _ in range(min(AT_ONCE, len(self._spare))):
            os.close(self._spare.pop())
        try:
            return call()
        finally:
            self.refill()

    def refill(self) -> None:
        """Take what is missing, as far as it can be had: call this after closing a descriptor."""
        with contextlib.suppress(OSError):
            while len(self._spare) < self._size:
                self._spare.append(os.open(os.devnull, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)))

    def close(self) -> None:
        """Close all of them."""
        self._size = 0
        while self._spare:
            os.close(self._spare.pop())


def raise_limit() -> None:
    """Raise the number of descriptors that this process may have, as far as the system lets it."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
