"""Downloads into files: safe names, complete files only.

Knows names of files and how they are written. Must never know a connection.
"""

import os
import re
import stat
from errno import EACCES, EAGAIN, EEXIST, EISDIR, ENOENT, ENOTDIR, EROFS
from io import FileIO
from types import TracebackType
from typing import Final

from cno.aio.client.urls import split_hier_part
from cno.cli.exit_codes import NOT_WRITTEN
from cno.cli.problems import Problem, reason

_MAX_NAME: Final = 200
_UNSAFE: Final = r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\ud800-\udfff]'
# Names that mean devices on Windows, with any suffix.
_DEVICES: Final = r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)"
# O_EXCL: fail if there is a file or a link of this name.
_CREATE: Final = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def remote_name(url: str) -> str:
    """Return the last part of a URL's path as the name of a file in the current folder.

    The name is not empty; see `safe_name`.
    """
    from urllib.parse import unquote  # slow to import

    return safe_name(unquote(path_of(url).rpartition("/")[2], errors="replace")) or "index.html"


def safe_name(last: str) -> str:
    """Return a name that others chose as one for a file in the current folder; '': there is none.

    It has no separators, is not hidden, not a device's, and not longer than file systems allow.
    """
    name = re.sub(_UNSAFE, "_", last).lstrip(". -~").rstrip(". ")
    if re.match(_DEVICES, name):
        name = "_" + name
    stem, ending = os.path.splitext(name)
    while len(os.fsencode(stem + ending)) > _MAX_NAME:
        stem, ending = (stem[:-1], ending) if stem and len(ending) < 20 else (ending[:100], "")
    return stem + ending


def path_of(url: str) -> str:
    """Return the path of a URL."""
    return split_hier_part(url.partition("://")[2])[1]


def remote_names(urls: list[str]) -> list[str]:
    """Return a name for each URL, all different, also for file systems that ignore case or form."""
    taken: set[str] = set()
    names = []
    for url in urls:
        base = name = remote_name(url)
        count = 0
        while (key := _identity(name)) in taken:
            count += 1
            name = f"{base}.{count}"
        taken.add(key)
        names.append(name)
    return names


def _identity(name: str) -> str:
    """Return a key that is equal for names that some file system treats as the same."""
    if name.isascii():
        return name.lower()
    import unicodedata  # slow to import

    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class SavedFile:
    """A file that is written under a temporary name and renamed once it is complete.

    `with SavedFile(path) as file: file.write(...); file.done()`. The temporary file is in the
    folder of `path`, has a random name and is created exclusively, so no other file is written or
    lost. A link at `path` is replaced, not followed. The new file has the permissions of the one
    that it replaces. A device, a pipe or an open descriptor (`/dev/stdout`) is written to directly,
    unless a URL chose the name (`is_remote`); what a file behind a descriptor has stays. Raises
    OSError.

    `is_part`: the temporary name is `path` with `.part` at its end, and the file stays there, to be
    continued, unless it is complete.
    """

    def __init__(self, path: str, is_remote: bool = False, is_part: bool = False) -> None:
        self.path = path
        self.is_special = not is_remote and is_special(path)
        self.is_part = is_part and not self.is_special
        #: Bytes that the file has.
        self.size = 0
        self._temporary = ""  # the temporary name, until the file is renamed
        self._file: FileIO | None = None

    def __enter__(self) -> "SavedFile":
        if self.is_special:
            # `/dev/stdout` may lead to a file that the shell has opened by ">>".
            self._file = FileIO(self.path, "a" if os.path.isfile(self.path) else "w")
        elif os.path.isdir(self.path) and not os.path.islink(self.path):
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
        elif self.is_part:
            self._temporary = part_name(self.path)
            self._file = _open_part(self._temporary)
            self.size = self._file.seek(0, os.SEEK_END)
        else:
            self._temporary, self._file = _create_beside(self.path)
        return self

    @property
    def is_null(self) -> bool:
        """Whether the file drops all that is written. Writing to it does not block."""
        try:
            return self.is_special and os.path.samefile(self.path, os.devnull)
        except OSError:
            return False

    @property
    def is_terminal(self) -> bool:
        """Whether the file is a terminal, which obeys control characters."""
        return self._file is not None and self._file.isatty()

    def write(self, data: bytes) -> None:
        """Write all of `data`."""
        view = memoryview(data)
        while self._file is not None and view:
            written = self._file.write(view)
            if written is None:
                raise BlockingIOError(EAGAIN, os.strerror(EAGAIN))
            view = view[written:]
        self.size += len(data)

    def restart(self) -> None:
        """Drop what the file has."""
        if self._file is not None and not self.is_special:
            self._file.truncate(0)
            self._file.seek(0)
        self.size = 0

    def done(self, modified: float | None = None) -> None:
        """Rename the file, which is complete. `modified`: set this time of modification."""
        if self._file is None:
            return
        if modified is not None and not self.is_special:
            os.utime(self._file.fileno(), (modified, modified))
        self._close()
        if self._temporary:
            os.replace(self._temporary, self.path)
            self._temporary = ""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._close()
        finally:
            if self._temporary and not (self.is_part and self.size):
                os.unlink(self._temporary)
            self._temporary = ""

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def part_name(path: str) -> str:
    """Return the name of a file that is to be continued."""
    return f"{path}.part"


def _open_part(name: str) -> FileIO:
    """Open a file that is to be continued, or create it. Raises OSError unless it is a file."""
    descriptor = os.open(name, _CREATE & ~os.O_EXCL, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileExistsError(EEXIST, os.strerror(EEXIST))
    return FileIO(descriptor, "w")


def _create_beside(path: str) -> tuple[str, FileIO]:
    """Create a temporary file in the folder of `path`. Return its name and the file."""
    folder = os.path.dirname(path)
    while True:
        name = os.path.join(folder, f".cno-{os.urandom(8).hex()}.part")
        try:
            descriptor = os.open(name, _CREATE, 0o666)
        except FileExistsError:
            continue
        break
    try:
        if hasattr(os, "fchmod") and os.path.isfile(path) and not os.path.islink(path):
            os.fchmod(descriptor, os.stat(path).st_mode & 0o777)
        return name, FileIO(descriptor, "w")
    except BaseException:
        os.close(descriptor)
        os.unlink(name)
        raise


def cannot_write(path: str, error: OSError) -> Problem:
    """Return the problem to report for a file that `SavedFile` could not create or write."""
    folder = os.path.dirname(path) or "."
    if error.errno in (ENOENT, ENOTDIR) and not os.path.isdir(folder):
        why = "is not a folder" if os.path.exists(folder) else "there is no such folder"
        return Problem(f"cannot write {path}: {folder}: {why}", NOT_WRITTEN)
    if error.errno in (EACCES, EROFS) and not os.path.exists(path):
        return Problem(f"cannot write {path}: {folder}: {reason(error)}", NOT_WRITTEN)
    return Problem(f"cannot write {path}: {reason(error)}", NOT_WRITTEN)


def is_special(path: str) -> bool:
    """Return whether `path` is a device, a pipe, a folder or a descriptor of this process."""
    if not os.path.exists(path):
        return False
    if not os.path.isfile(path):
        return True
    # `/dev/stdout` may lead to a regular file; a rename would replace the link in `/dev`.
    folder = os.path.realpath(os.path.dirname(path) or ".")
    return folder.startswith(("/proc/", "/dev/fd")) or (folder == "/dev" and os.path.islink(path))
