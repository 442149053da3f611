"""A folder as a tar or zip file, made while it is sent.

It has the files that requests can reach, and follows no links to folders. Knows files and the two
formats. Must never know a request or a connection.
"""

import asyncio
import os
import stat
import tarfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote

from cno.cli.bodies import read_all
from cno.cli.paths import MAX_DEPTH, Folder, Opened, Refused

#: Content types by the ending of the archive's name.
KINDS: Final = {"zip": "application/zip", "tar": "application/x-tar"}
#: Files and folders in one archive. A folder with more has none.
MAX_MEMBERS: Final = 20_000
#: Archives that are sent at a time. Further requests are refused (503).
MAX_AT_ONCE: Final = 4
#: Bytes that are read at once.
PIECE: Final = 131_072
_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)  # that a zip file can express
_LATEST: Final = (2107, 12, 31, 23, 59, 58)


class ArchiveEntry(NamedTuple):
    """A file or a folder of an archive, by its names from the root down."""

    segments: tuple[str, ...]
    is_folder: bool


def members(folder: Folder, segments: Sequence[str]) -> list[ArchiveEntry]:
    """Return what is below a folder, folders before what is in them. Blocks.

    Raises Refused (403: there is too much), OSError.
    """
    found: list[ArchiveEntry] = []
    left = [tuple(segments)]
    while left:
        names = left.pop()
        if len(names) > MAX_DEPTH:
            continue
        opened = folder.open(names)
        try:
            place = opened.fd if opened.fd >= 0 else folder.path(names)
            with os.scandir(place) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
                kinds = [(entry.name, kind_of(entry)) for entry in entries]
        finally:
            if opened.fd >= 0:
                os.close(opened.fd)
        for name, kind in kinds:
            inner = (*names, name)
            if kind is None or folder.hides(inner) or "\\" in name:
                continue
            found.append(ArchiveEntry(inner, kind == "folder"))
            if len(found) > MAX_MEMBERS:
                raise Refused(403)
            if kind == "folder":
                left.append(inner)
    return found


def kind_of(entry: "os.DirEntry[str]") -> str | None:
    """Return "file", "folder", or None for what an archive leaves out."""
    try:
        if entry.is_dir(follow_symlinks=False):
            return "folder"
        return "file" if entry.is_file() else None
    except OSError:
        return None


def asked_archive(target: str) -> str:
    """Return the ending of the archive that the query of a target asks for; '' for none."""
    _, _, ending = target.partition("?archive=")
    return ending if ending in KINDS else ""


def attachment(name: str) -> str:
    """Return the Content-Disposition that has a client save a response under a name (RFC 6266)."""
    encoded = quote(os.fsencode(name), safe="")
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


class ArchiveBody:
    """An async iterator over the bytes of an archive; each step runs in a thread. Call `close`."""

    def __init__(self, archives: "Archives", pieces: Iterator[bytes]) -> None:
        self.sent = 0
        self._archives: Archives | None = archives
        self._pieces = pieces
        # The step that a thread does. It goes on if the task that waits for it is cancelled.
        self._step: asyncio.Future[bytes] | None = None

    def __aiter__(self) -> "ArchiveBody":
        return self

    async def __anext__(self) -> bytes:
        loop = asyncio.get_running_loop()
        self._step = loop.run_in_executor(None, next, self._pieces, b"")
        data = await asyncio.shield(self._step)
        self._step = None
        if not data:
            raise StopAsyncIteration
        self.sent += len(data)
        return data

    def close(self) -> None:
        """Close the file that is being read, as soon as no thread reads from it."""
        archives, self._archives = self._archives, None
        if archives is None:
            return
        archives.running -= 1
        if self._step is None or self._step.done():
            close(self._pieces)
        else:
            self._step.add_done_callback(Closer(self._pieces))

    async def aclose(self) -> None:
        self.close()


class Closer:
    """Closes an iterator once the step of a thread is done."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __call__(self, step: "asyncio.Future[bytes]") -> None:
        close(self._pieces)
        if not step.cancelled():
            step.exception()  # nobody else will ask


def close(pieces: Iterator[bytes]) -> None:
    getattr(pieces, "close", lambda: None)()


class Archives:
    """Makes archives of the folders below `folder`; `running` is the number of those being sent."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.running = 0

    async def body(self, segments: Sequence[str], ending: str) -> ArchiveBody:
        """Return the archive of a folder. Raises Refused (503: too many are sent), OSError."""
        if self.running >= MAX_AT_ONCE:
            raise Refused(503)
        self.running += 1
        made = False
        try:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(None, members, self._folder, segments)
            made = True
        finally:
            if not made:
                self.running -= 1
        make = zip_pieces if ending == "zip" else tar_pieces
        return ArchiveBody(self, make(self._folder, len(segments), found))


def tar_pieces(folder: Folder, depth: int, found: Sequence[ArchiveEntry]) -> Iterator[bytes]:
    """Give the bytes of a tar file (POSIX.1-2001). Raises EOFError if a file becomes shorter."""
    for member in found:
        opened = open_member(folder, member)
        if opened is None:
            continue
        try:
            size = 0 if member.is_folder else opened.info.st_size
            about = tarfile.TarInfo("/".join(member.segments[depth:])).replace(
                mtime=int(opened.info.st_mtime),
                mode=0o755 if member.is_folder else 0o644 | opened.info.st_mode & 0o111,
            )
            about.size = size
            about.type = tarfile.DIRTYPE if member.is_folder else tarfile.REGTYPE
            yield about.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
            yield from file_pieces(opened.fd, size)
            if size % tarfile.BLOCKSIZE:
                yield bytes(tarfile.BLOCKSIZE - size % tarfile.BLOCKSIZE)
        finally:
            if opened.fd >= 0:
                os.close(opened.fd)
    yield bytes(2 * tarfile.BLOCKSIZE)


def zip_pieces(folder: Folder, depth: int, found: Sequence[ArchiveEntry]) -> Iterator[bytes]:
    """Give the bytes of a zip file, whose files are not compressed. Raises EOFError."""
    sink = Sink()
    with zipfile.ZipFile(sink, "w") as made:  # type: ignore[call-overload]  # it only writes
        for member in found:
            opened = open_member(folder, member)
            if opened is None:
                continue
            try:
                name = "/".join(member.segments[depth:]) + "/" * member.is_folder
                name = name.encode("utf-8", "replace").decode()
                when = time.localtime(opened.info.st_mtime)[:6]
                about = zipfile.ZipInfo(name, min(max(when, _EARLIEST), _LATEST))
                about.external_attr = (opened.info.st_mode & 0xFFFF) << 16
                size = 0 if member.is_folder else opened.info.st_size
                with made.open(about, "w", force_zip64=size >= 1 << 31) as file:
                    for data in file_pieces(opened.fd, size):
                        file.write(data)
                        yield sink.take()
            finally:
                if opened.fd >= 0:
                    os.close(opened.fd)
    yield sink.take()


def open_member(folder: Folder, member: ArchiveEntry) -> Opened | None:
    """Open a file or folder; None if it has gone, or is something else by now."""
    try:
        opened = folder.open(member.segments)
    except (OSError, Refused):
        return None
    if opened.is_folder == member.is_folder and (
        member.is_folder or stat.S_ISREG(opened.info.st_mode)
    ):
        return opened
    if opened.fd >= 0:
        os.close(opened.fd)
    return None


def file_pieces(fd: int, size: int) -> Iterator[bytes]:
    """Give the content of a file. Raises EOFError if it has become shorter."""
    at = 0
    while at < size:
        data = read_all(fd, at, min(PIECE, size - at))
        if not data:
            raise EOFError(f"the file has become shorter, by {size - at} bytes")
        at += len(data)
        yield data


class Sink:
    """A file that only collects what is written: zipfile does without `seek`."""

    def __init__(self) -> None:
        self._data: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._data.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: `take` is the way out."""

    def take(self) -> bytes:
        """Return and forget what has been written."""
        data = b"".join(self._data)
        self._data.clear()
        return data
