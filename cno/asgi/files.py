"""Files whose content an application asks us to send: by path, or as a file that it has opened.

Gives a descriptor of our own. Must never know requests or responses.
"""

import asyncio
import os
import stat
from typing import Any

from cno.aio.file_range import FileRange


async def open_path(path: str) -> FileRange:
    """Return the content of the regular file at an absolute path.

    Raises OSError if it cannot be opened, ValueError if it is no such file or path.
    """
    if not os.path.isabs(path):
        raise ValueError(f"http.response.pathsend: {path!r} is not an absolute path")
    loop = asyncio.get_running_loop()
    return _range_of(await loop.run_in_executor(None, _open, path), 0, None)


def _open(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"http.response.pathsend: {path!r} is not a regular file")
    return descriptor


def range_of(file: Any, offset: int | None, count: int | None) -> FileRange:
    """Return a part of an open binary file: from its position if no offset is given, to its end if
    no count is. The file stays open, and its position is what it was."""
    descriptor = os.dup(file.fileno())
    try:
        if offset is None:
            offset = os.lseek(descriptor, 0, os.SEEK_CUR)
        return _range_of(descriptor, offset, count)
    except BaseException:
        os.close(descriptor)
        raise


def _range_of(descriptor: int, offset: int, count: int | None) -> FileRange:
    left = max(0, os.fstat(descriptor).st_size - offset)
    return FileRange(descriptor, offset, left if count is None else min(left, count))
