"""Open the file that a request's target names, inside one folder and nowhere else.

Knows how targets are encoded, and the names that would lead out of the folder: dots, encoded
slashes, links. Must never know a request, or how the file is used.
"""

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# Characters with a special meaning on Windows (streams of a file, wildcards, drives).
_WINDOWS: Final = re.compile(r'[<>:"|?*\x00-\x1f]|[. ]$')

_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
# O_NONBLOCK: opening a FIFO must not wait for a writer.
_FILE: Final = (
    os.O_RDONLY
    | _CLOEXEC
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
)
# O_PATH: a folder on the way need not be readable.
_FOLDER: Final = _CLOEXEC | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", os.O_RDONLY)
_STEPWISE: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")


#: Characters of a path (PATH_MAX of Linux is 4,096; each byte may be percent-encoded), and names in
#: it. Each name costs a system call, and links inside the folder allow paths of any depth.
MAX_PATH: Final = 3 * 4_096
MAX_DEPTH: Final = 256


#: The hidden folder that is served: the root's own (RFC 8615).
WELL_KNOWN: Final = ".well-known"


class Refused(Exception):
    """The target names no file that may be served, or the server is too busy to look.

    `code`: the status to answer with, 400, 403, 404 or 503.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Address(NamedTuple):
    """Decoded names from the root down. `slash`: the path ends in a slash and names a folder."""

    segments: list[str]
    slash: bool


def parse_target(target: str, hidden: bool = False) -> Address:
    """Decode the path of an origin-form target once, without its query.

    Raises Refused: 400 for names that no file can have (`..`, NUL, backslash, an encoded slash, a
    broken escape); 404 for names that begin with a dot (but `/.well-known`, RFC 8615) unless
    `hidden` is true, for empty names (`//`), and for paths beyond `MAX_PATH` or `MAX_DEPTH`.
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
    names = [_decode(segment) for segment in raw]
    if not hidden and is_hidden(names):
        raise Refused(404)
    return Address(names, slash)


def is_hidden(names: Sequence[str]) -> bool:
    """Return whether a path below the root has a hidden name. `.well-known` at its start is none.

    > Well-known URIs are rooted in the top of the path's hierarchy   (RFC 8615 3)
    """
    start = 1 if names and names[0] == WELL_KNOWN else 0
    return any(name[:1] == "." for name in names[start:])


def _decode(segment: str) -> str:
    encoded = segment.encode("utf-8", "surrogateescape")
    if _BAD_ESCAPE.search(encoded):
        raise Refused(400)
    name = unquote_to_bytes(encoded)
    if name in (b".", b"..") or any(byte in name for byte in (b"\0", b"/", b"\\")):
        raise Refused(400)
    if name == b"":
        raise Refused(404)
    text = os.fsdecode(name)
    if os.name == "nt" and _WINDOWS.search(text):
        raise Refused(400)
    return text


class Opened(NamedTuple):
    """An open descriptor, which the caller closes, and its `stat` when it was opened.

    `fd` is -1 for a folder on systems that cannot open folders (Windows).
    """

    fd: int
    info: os.stat_result

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.info.st_mode)


@dataclass(frozen=True)
class Folder:
    """A folder that is served, and which names below it can be reached.

    `hidden`: also those that begin with a dot. `follow_links`: also what is elsewhere, if a link
    below the folder leads there. `only`: nothing but the file of this name. `prefix`: what the
    path of a target begins with, `/docs`, before the names; '' for nothing.
    """

    root: str
    hidden: bool = False
    follow_links: bool = False
    only: str = ""
    prefix: str = ""

    @property
    def name(self) -> str:
        """The folder's own name."""
        return os.path.basename(self.root) or self.root

    def path(self, segments: Sequence[str]) -> str:
        """Return the path of a file, links not resolved."""
        return os.path.join(self.root, *segments)

    def parse(self, target: str) -> Address:
        """Decode a target: see `parse_target`. Raises Refused(404) if it lacks the prefix."""
        if not self.has_prefix(target):
            raise Refused(404)
        return parse_target(target[len(self.prefix) :], self.hidden)

    def has_prefix(self, target: str) -> bool:
        """Return whether a target is that of the folder or of something below it."""
        return not self.prefix or target.startswith(self.prefix + "/")

    def hides(self, names: Sequence[str]) -> bool:
        """Return whether names from the root down have a hidden one among them."""
        return not self.hidden and is_hidden(names)

    def resolve(self, segments: Sequence[str]) -> tuple[str, list[str]]:
        """Return a real path, and the names from there to the file, all links resolved.

        Raises Refused(404) if they lead out of the folder or into a hidden one, and the OSError of
        `os.path.realpath`.
        """
        if self.only and list(segments) != [self.only]:
            raise Refused(404)
        root = os.path.realpath(self.root, strict=True)
        real = os.path.realpath(os.path.join(root, *segments), strict=True)
        if real == root:
            return root, []
        prefix = root if root.endswith(os.sep) else root + os.sep
        if not real.startswith(prefix):
            if not self.follow_links:
                raise Refused(404)
            start = Path(real).anchor
            return start, [name for name in real[len(start) :].split(os.sep) if name]
        names = real[len(prefix) :].split(os.sep)
        if self.hides(names):
            raise Refused(404)
        return root, names

    def open(self, segments: Sequence[str]) -> Opened:
        """Open the regular file or folder that `segments` name.

        Links are resolved first. The resolved path is then opened name by name, each relative to
        the folder before, without following links: swapping a folder for a link in between has no
        effect. Raises Refused or OSError.
        """
        start, names = self.resolve(segments)
        if not _STEPWISE:
            return self._open_and_look_again(start, names, segments)
        fd = _walk(start, names)
        try:
            info = os.fstat(fd)
            _refuse_special(info)
        except BaseException:
            os.close(fd)
            raise
        return Opened(fd, info)

    def _open_and_look_again(self, start: str, names: list[str], segments: Sequence[str]) -> Opened:
        """Open a file on systems without `dir_fd`, and check that the path still leads to it."""
        path = os.path.join(start, *names)
        info = os.lstat(path)
        _refuse_special(info)
        if stat.S_ISDIR(info.st_mode):
            return Opened(-1, info)  # Windows opens no folders
        fd = os.open(path, _FILE)
        try:
            info = os.fstat(fd)
            again = self.resolve(segments)
            if again != (start, names) or not os.path.samestat(info, os.lstat(path)):
                raise Refused(404)
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


def _refuse_special(info: os.stat_result) -> None:
    """Raise Refused(403) for devices. Opening some of them has effects, so check before as well."""
    if not (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)):
        raise Refused(403)
