"""From a request's target to an open file inside one folder, and to nothing outside it.

Knows how targets are encoded and how names lead astray: dots, slashes in disguise, links. Must
never know a request or what becomes of the file.
"""

import os
import re
import stat
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# Where the file system gives these a meaning of its own (streams of a file, wildcards, drives).
_WINDOWS: Final = re.compile(r'[<>:"|?*\x00-\x1f]|[. ]$')

_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
# Without O_NONBLOCK, to open a FIFO would be to wait for somebody to write to it.
_FILE: Final = (
    os.O_RDONLY
    | _CLOEXEC
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
)
# O_PATH: a folder may be passed through by those who may not read it.
_FOLDER: Final = _CLOEXEC | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", os.O_RDONLY)
_STEPWISE: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")


#: Characters of a path, each byte of a name percent-encoded (PATH_MAX of Linux is 4,096), and names
#: in it: links within the folder could lead around in it for ever, a system call for each name.
MAX_PATH: Final = 3 * 4_096
MAX_DEPTH: Final = 256


class Refused(Exception):
    """No file of this folder has such an address, or it cannot be looked for now.

    `code`: the status to answer, 400, 403, 404 or 503.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Address(NamedTuple):
    """Decoded names from the root down; `slash`: the path ended in one, so it means a folder."""

    segments: list[str]
    slash: bool


def parse_target(target: str) -> Address:
    """Decode the path of an origin-form target, once. Its query is left out.

    Raises Refused: 400 for what no file can be called (`..`, NUL, backslash, an encoded slash, a
    broken escape), 404 for names that begin with a dot, for empty ones (`//`), and for paths that
    are longer or deeper than any (`MAX_PATH`, `MAX_DEPTH`).
    """
    path = target.partition("?")[0]
    if path[:1] != "/":
        raise Refused(400)
    if len(path) > MAX_PATH or path.count("/") > MAX_DEPTH:
        raise Refused(404)
    raw = path[1:].split("/")
    slash = raw[-1] == ""
    if slash:
        raw.pop()
    return Address([_decode(segment) for segment in raw], slash)


def _decode(segment: str) -> str:
    octets = segment.encode("utf-8", "surrogateescape")
    if _BAD_ESCAPE.search(octets):
        raise Refused(400)
    name = unquote_to_bytes(octets)
    if name in (b".", b"..") or any(octet in name for octet in (b"\0", b"/", b"\\")):
        raise Refused(400)
    if name == b"" or name[:1] == b".":
        raise Refused(404)
    text = os.fsdecode(name)
    if os.name == "nt" and _WINDOWS.search(text):
        raise Refused(400)
    return text


class Opened(NamedTuple):
    """A descriptor that is the caller's to close, and what it was when it was opened.

    `fd` is -1 for a folder on a system that opens none.
    """

    fd: int
    info: os.stat_result

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.info.st_mode)


def resolve(root: str, segments: Sequence[str]) -> list[str]:
    """The names from `root` (a real path) down to the file, with every link on the way followed.

    Raises Refused(404) where that leads out of the root or into a hidden folder, OSError as
    `os.path.realpath` does.
    """
    real = os.path.realpath(os.path.join(root, *segments), strict=True)
    if real == root:
        return []
    prefix = root if root.endswith(os.sep) else root + os.sep
    if not real.startswith(prefix):
        raise Refused(404)
    names = real[len(prefix) :].split(os.sep)
    if any(name[:1] == "." for name in names):
        raise Refused(404)
    return names


def open_inside(root: str, segments: Sequence[str]) -> Opened:
    """Open the regular file or folder that `segments` name below `root`, a real path.

    Links are followed as long as they stay inside. The way that was found good is then walked name
    by name, each relative to the folder before and no link followed, so that whoever swaps a folder
    for a link in between gains nothing. Raises Refused or OSError.
    """
    names = resolve(root, segments)
    if not _STEPWISE:
        return _open_and_look_again(root, names, segments)
    fd = _walk(root, names)
    try:
        info = os.fstat(fd)
        _refuse_special(info)
    except BaseException:
        os.close(fd)
        raise
    return Opened(fd, info)


def _walk(root: str, names: list[str]) -> int:
    if not names:
        return os.open(root, _FILE & ~getattr(os, "O_NOFOLLOW", 0))
    folder = os.open(root, _FOLDER)
    try:
        for name in names[:-1]:
            inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        _refuse_special(os.stat(names[-1], dir_fd=folder, follow_symlinks=False))
        return os.open(names[-1], _FILE, dir_fd=folder)
    finally:
        os.close(folder)


def _open_and_look_again(root: str, names: list[str], segments: Sequence[str]) -> Opened:
    """For systems without `dir_fd`: what is open must still be what the checked path leads to."""
    path = os.path.join(root, *names)
    info = os.lstat(path)
    _refuse_special(info)
    if stat.S_ISDIR(info.st_mode):
        return Opened(-1, info)  # Windows opens no folders
    fd = os.open(path, _FILE)
    try:
        info = os.fstat(fd)
        if resolve(root, segments) != names or not os.path.samestat(info, os.lstat(path)):
            raise Refused(404)
    except BaseException:
        os.close(fd)
        raise
    return Opened(fd, info)


def _refuse_special(info: os.stat_result) -> None:
    """Raises Refused(403). To open some devices is to use them, so look before and after."""
    if not (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)):
        raise Refused(403)
