"""Uploads by PUT into one folder: whole files of a bounded size, which replace nothing.

A web page of another site must not upload: PUT needs a preflight request, which is never answered
with PUT, and browsers say where a request comes from. Knows files, and fields of requests. Must
never know a connection.
"""

import asyncio
import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Sequence
from errno import EEXIST, ENAMETOOLONG, ENOSPC, ENOSYS, ENOTDIR, EOPNOTSUPP, EPERM
from typing import Final, NamedTuple, Protocol

from cno.cli.conditions import Headers, combined
from cno.cli.paths import Address, Folder, Refused

#: Bytes of an uploaded file, unless `--max-upload` says otherwise.
MAX_SIZE: Final = 1 << 30
#: Uploads that are received at a time. Further ones are refused (503).
MAX_AT_ONCE: Final = 32
#: Bytes that are written at once, by a thread.
PIECE: Final = 262_144
#: The longest name, in bytes.
MAX_NAME: Final = 255

# Of file systems without hard links: FAT, and some of networks.
_NO_LINKS: Final = (ENOSYS, EOPNOTSUPP, EPERM)


class UploadRules(NamedTuple):
    """`into`: a folder, the served one or one below it. The others are as those of `Uploads`."""

    into: str
    max_size: int = MAX_SIZE
    allow_host: Callable[[str], bool] = lambda _: True


class Body(Protocol):
    """What is read of a request's body."""

    async def read(self, size: int, /) -> bytes: ...


class Uploads(NamedTuple):
    """Where uploads may go. `into`: names from the served folder down; () is that folder itself.

    `allow_host`: whether pages of this authority may upload: not those of a name that an attacker
    makes resolve to this machine. `reserved`: names that have a meaning to the server.
    """

    folder: Folder
    into: tuple[str, ...]
    max_size: int
    allow_host: Callable[[str], bool]
    reserved: tuple[str, ...]

    def accepts(self, segments: Sequence[str]) -> bool:
        """Return whether files may be uploaded into this folder."""
        return tuple(segments[: len(self.into)]) == self.into

    def check(self, headers: Headers, address: Address) -> None:
        """Raise Refused for a request that may not upload, whatever it has to say."""
        segments, slash = address
        if slash or not segments or not self.accepts(segments[:-1]):
            raise Refused(405)
        if is_cross_site(headers) or not self.allow_host(combined(headers, ":authority") or ""):
            raise Refused(403)
        if not is_good_name(segments[-1]) or segments[-1].lower() in self.reserved:
            raise Refused(403)
        # > An origin server SHOULD respond with a 400 (Bad Request) status code if it receives
        # > Content-Range on a PUT for a target resource that does not support partial PUT
        # > requests.   (RFC 9110 14.5)
        if combined(headers, "content-range") is not None:
            raise Refused(400)
        if (combined(headers, "content-encoding") or "identity") != "identity":
            raise Refused(415)
        if combined(headers, "if-match") is not None:
            raise Refused(412)  # nothing is ever replaced
        length = combined(headers, "content-length") or "0"
        if length.isdecimal() and int(length[:20]) > self.max_size:
            raise Refused(413)

    def open_folder(self, segments: Sequence[str]) -> int:
        """Open the folder for a file. Raises Refused: a link leads to where no uploads may go."""
        start, names = self.folder.resolve(segments)
        top = self.folder.resolve(self.into)
        if (start, names[: len(top[1])]) != top:
            raise Refused(403)
        opened = self.folder.open(segments)
        if not opened.is_folder:
            os.close(opened.fd)
            raise Refused(404)
        return opened.fd


def receiver(folder: Folder, rules: UploadRules, index: str) -> "Receiver":
    """Return what receives uploads. Raises ValueError if they would go elsewhere."""
    root = os.path.realpath(folder.root, strict=True)
    into = os.path.realpath(os.path.join(folder.root, rules.into), strict=True)
    if folder.only or not os.path.isdir(into) or os.path.commonpath([root, into]) != root:
        raise ValueError(f"not a folder below {folder.root}: {rules.into}")
    names = () if into == root else tuple(os.path.relpath(into, root).split(os.sep))
    if folder.hides(names):
        raise ValueError(f"a hidden folder: {rules.into}")
    reserved = (index.lower(), "404.html")
    return Receiver(Uploads(folder, names, rules.max_size, rules.allow_host, reserved))


class Receiver:
    """Receives uploads, few at a time."""

    def __init__(self, uploads: Uploads) -> None:
        self.uploads = uploads
        self._running = 0

    async def receive(self, headers: Headers, body: Body, address: Address) -> None:
        """Store the body of a request as a new file. Raises Refused or OSError."""
        self.uploads.check(headers, address)
        if self._running >= MAX_AT_ONCE:
            raise Refused(503)
        self._running += 1
        try:
            await self._store(body, address.segments)
        finally:
            self._running -= 1

    async def _store(self, body: Body, segments: list[str]) -> None:
        folder = self.uploads.open_folder(segments[:-1])
        target = NewFile(folder, segments[-1])
        try:
            if target.exists():
                raise Refused(409)
            target.create()
            await self._copy(body, target)
            target.publish()
        except OSError as error:
            raise Refused(status_of(error)) from None
        finally:
            target.discard()
            os.close(folder)

    async def _copy(self, body: Body, target: "NewFile") -> None:
        size = 0
        pieces: list[bytes] = []
        while True:
            data = await body.read(PIECE)
            size += len(data)
            if size > self.uploads.max_size:
                raise Refused(413)
            pieces.append(data)
            if sum(map(len, pieces)) >= PIECE or not data:
                await target.write(b"".join(pieces))
                pieces = []
            if not data:
                return


class NewFile:
    """A file that gets its name when it is whole, unless there is one of that name by then.

    Until then its name begins with a dot, so that nobody can request it.
    """

    def __init__(self, folder: int, name: str) -> None:
        self._folder = folder
        self._name = name
        self._temporary = f".upload-{secrets.token_hex(8)}"
        self._fd = -1
        self._writing: asyncio.Future[None] | None = None

    def exists(self) -> bool:
        try:
            os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def create(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(self._temporary, flags, 0o666, dir_fd=self._folder)

    async def write(self, data: bytes) -> None:
        """Write all of the data, in a thread."""
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(None, write_all, self._fd, data)
        await asyncio.shield(self._writing)
        self._writing = None

    def publish(self) -> None:
        """Give the file its name. Raises FileExistsError."""
        try:
            os.link(
                self._temporary,
                self._name,
                src_dir_fd=self._folder,
                dst_dir_fd=self._folder,
                follow_symlinks=False,
            )
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            os.close(os.open(self._name, flags, dir_fd=self._folder))  # takes the name
            os.replace(
                self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder
            )

    def discard(self) -> None:
        """Close the file, as soon as no thread writes to it, and remove its temporary name."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        if self._writing is None or self._writing.done():
            os.close(fd)
        else:
            self._writing.add_done_callback(Closer(fd))
        with contextlib.suppress(OSError):
            os.unlink(self._temporary, dir_fd=self._folder)


class Closer:
    """Closes a descriptor once a thread has written to it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __call__(self, writing: "asyncio.Future[None]") -> None:
        os.close(self._fd)
        if not writing.cancelled():
            writing.exception()  # nobody else will ask


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def is_cross_site(headers: Headers) -> bool:
    """Return whether a browser says that a page of another origin makes the request."""
    site = combined(headers, "sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = combined(headers, "origin")
    if origin is None:
        return False
    _, _, place = origin.partition("://")
    return not place or place.lower() != (combined(headers, ":authority") or "").lower()


def is_good_name(name: str) -> bool:
    """Return whether a new file may have this name: on any system, and in any listing."""
    return (
        name[:1] not in (".", " ")
        and name[-1:] not in (".", " ")
        and name.isprintable()
        and not any(c in name for c in '<>:"|?*\\/')
        and len(os.fsencode(name)) <= MAX_NAME
    )


def status_of(error: OSError) -> int:
    """Return the HTTP status for a file that could not be stored."""
    if error.errno == EEXIST:
        return 409
    if error.errno in (ENOSPC, getattr(errno, "EDQUOT", ENOSPC)):
        return 507
    return 404 if error.errno in (ENAMETOOLONG, ENOTDIR) else 403
