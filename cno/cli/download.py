"""A body that goes into a file, in one response or several: what came stays when it is cut short.

A range of the same representation continues it (RFC 9110 13.1.5, 14): `If-Range` says so, and a
server that has another one by now sends all of that. Knows files and the fields of responses. Must
never know a connection.
"""

import os
from typing import Final

from cno.cli import exit_codes
from cno.cli.problems import Problem
from cno.cli.saved_file import SavedFile, part_name

Headers = list[tuple[str, str]]

#: Bytes of the file that says what a `.part` is a part of.
MAX_NOTE: Final = 16_384
#: Seconds by which Last-Modified must be older than Date to be a strong validator (RFC 9110
#: 8.8.2.2).
MIN_AGE: Final = 60.0


class Download:
    """The file for one URL, over all attempts to fetch it.

    `is_part`: continue a `.part` of it, and leave one if the body is cut short. Then only a 200
    replaces a file that is there: the user asked to continue it. Use it as a context manager.
    Raises OSError and Problem.
    """

    def __init__(self, path: str, url: str, *, is_remote: bool, is_part: bool) -> None:
        self.path = path
        self._url = url
        self._validator = ""
        self._open = False
        self._total: int | None = None  # bytes of the whole, as a 206 has it
        #: Bytes that the file had before the body of the last response, which continues it.
        self.before = 0
        self.file = SavedFile(path, is_remote, is_part)
        if self.file.is_part:
            self._read_note()

    # -- the request -----------------------------------------------------------------------------

    def fields(self) -> Headers:
        """Return the fields that ask for the rest."""
        size = self.file.size
        if self.file.is_part and not self._open and self._validator:
            size = os.path.getsize(part_name(self.path))
        if not size or not self._validator:
            return []
        return [
            ("range", f"bytes={size}-"),
            ("if-range", self._validator),
            ("accept-encoding", "identity"),
        ]

    # -- the response ----------------------------------------------------------------------------

    def begin(self, code: int, headers: Headers, decoded: bool) -> bool:
        """Prepare for the body of a response. Return False if the file is complete already.

        `decoded`: the body is written in another coding than it comes in, so no range of it can be
        asked for. Raises Problem if it is another part than the one that was asked for.
        """
        if code == 416 and self._asked() and complete_size(headers) == self._asked():
            self._finish_complete()
            return False
        asked = self._asked()
        if code == 206 and asked and range_start(headers) != asked:
            text = f"{self._url}: the server sent another part than the one asked for"
            raise Problem(text, exit_codes.NO_RANGE)
        if asked:
            refused = code != 206 and code >= 300
        else:
            refused = code != 200 and self._replaces()
        if refused:
            text = f"{self._url}: status {code}: {self.kept or self.path} cannot be continued"
            raise Problem(text, exit_codes.NO_RANGE)
        self._total = complete_size(headers) if code == 206 and asked and not decoded else None
        self.before = asked if code == 206 else 0
        if not self._open:
            self.file.__enter__()
            self._open = True
        if not (code == 206 and asked):
            self.file.restart()
            self._validator = "" if decoded or code != 200 else strong_validator(headers)
            self._write_note()
        return True

    def _asked(self) -> int:
        """Return the offset that was asked for."""
        if self.file.is_part and not self._open:
            return part_size(self.path) if self._validator else 0
        return self.file.size if self._validator else 0

    def _replaces(self) -> bool:
        """Return whether the body would replace what the user asked to continue."""
        has_part = self.file.size > 0 or part_size(self.path) > 0
        return self.file.is_part and (has_part or os.path.lexists(self.path))

    def write(self, data: bytes) -> None:
        """Write a piece of the body."""
        self.file.write(data)

    def done(self, modified: float | None) -> None:
        """The body is complete. Raises Problem if it was a shorter part than the one asked for."""
        require_all(self._url, self.file.size, self._total)
        self.file.done(modified)
        self._remove_note()

    def _finish_complete(self) -> None:
        """All of the part had come already."""
        self.file.__enter__()
        self.file.done()
        self._remove_note()

    def __enter__(self) -> "Download":
        return self

    def __exit__(self, *_: object) -> None:
        if self._open:
            self.file.__exit__(None, None, None)

    @property
    def kept(self) -> str:
        """The name under which an incomplete file stays; '': it does not."""
        return part_name(self.path) if self.file.is_part and self.file.size else ""

    # -- what a part is a part of ----------------------------------------------------------------

    def _note_name(self) -> str:
        return f"{part_name(self.path)}.json"

    def _read_note(self) -> None:
        import json  # slow to import

        try:
            with open(self._note_name(), encoding="utf-8") as file:
                note = json.loads(file.read(MAX_NOTE))
        except (OSError, ValueError):
            note = None
        if isinstance(note, dict) and note.get("url") == self._url:
            self._validator = str(note.get("validator", ""))
        elif os.path.lexists(part_name(self.path)):
            text = f"cannot continue {part_name(self.path)}: it is of another URL, or unknown"
            raise Problem(text, exit_codes.NOT_WRITTEN)

    def _write_note(self) -> None:
        if not self.file.is_part:
            return
        import json

        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
        with open(os.open(self._note_name(), flags, 0o600), "w", encoding="utf-8") as file:
            json.dump({"url": self._url, "validator": self._validator}, file)

    def _remove_note(self) -> None:
        if self.file.is_part and os.path.lexists(self._note_name()):
            os.unlink(self._note_name())


def is_whole(path: str) -> bool:
    """Return whether a file is there that no `.part` stands for."""
    return os.path.isfile(path) and os.path.getsize(path) > 0 and not part_size(path)


def part_size(path: str) -> int:
    """Return the size of the `.part` of a file; 0 if there is none."""
    try:
        return os.lstat(part_name(path)).st_size
    except OSError:
        return 0


def value_of(headers: Headers, name: str) -> str:
    return next((value for key, value in headers if key == name), "")


def range_start(headers: Headers) -> int | None:
    """Return where the part of a 206 begins (RFC 9110 14.4); None if it does not say so."""
    unit, _, rest = value_of(headers, "content-range").partition(" ")
    start = rest.partition("-")[0]
    return int(start) if unit.lower() == "bytes" and start.isdecimal() else None


def complete_size(headers: Headers) -> int | None:
    """Return the size of the whole, which a 206 or a 416 names."""
    size = value_of(headers, "content-range").rpartition("/")[2]
    return int(size) if size.isdecimal() else None


def require_all(url: str, size: int, total: int | None) -> None:
    """Raise Problem if a file has not all bytes that the last 206 named; None: it named no number.

    > A client MUST inspect a 206 response's Content-Type and Content-Range field(s) to determine
    > what parts are enclosed and whether additional requests are needed.   (RFC 9110 15.3.7)
    """
    if total is not None and size < total:
        text = f"{url}: the server sent less than was asked for: {size:,} of {total:,} bytes came"
        raise Problem(text, exit_codes.PARTIAL)


def strong_validator(headers: Headers) -> str:
    """Return what tells this representation from all others; '' if nothing does."""
    tag = value_of(headers, "etag")
    if tag:
        return "" if tag.startswith("W/") else tag
    modified = value_of(headers, "last-modified")
    then, now = http_time(modified), http_time(value_of(headers, "date"))
    if then is None or now is None or now - then < MIN_AGE:
        return ""
    return modified


def http_time(text: str) -> float | None:
    """Return a date of a field as seconds since 1970."""
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, OverflowError):
        return None
