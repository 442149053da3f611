"""The entries of a folder that requests can reach.

Knows folders and the rules of `paths`. Must never know a request or HTML.
"""

import os
import stat
from collections.abc import Sequence
from typing import Final

from cno.cli.pages import Entry, natural
from cno.cli.paths import Folder, Refused

#: Entries of a listing, and characters of their names. The page has up to nine bytes for each
#: character (`%26` and `&amp;`) and 70 for each entry. Of a larger folder, the first ones in the
#: order of their names are listed.
MAX_LISTED: Final = 10_000
MAX_NAMES: Final = 524_288


def list_folder(folder: Folder, segments: Sequence[str]) -> tuple[list[Entry], bool]:
    """Return the entries of the folder at `segments`, by name, and whether some are left out.

    Entries beyond `MAX_LISTED` or `MAX_NAMES` are left out. Blocks, and takes long for large
    folders. Raises Refused or OSError.
    """
    opened = folder.open(segments)
    try:
        if not opened.is_folder:
            raise Refused(404)
        start, names = folder.resolve(segments)
        place = opened.fd if opened.fd >= 0 else os.path.join(start, *names)
        return _scan(folder, segments, place)
    finally:
        if opened.fd >= 0:
            os.close(opened.fd)


def _scan(folder: Folder, segments: Sequence[str], place: int | str) -> tuple[list[Entry], bool]:
    found: list[Entry] = []
    room = MAX_NAMES
    with os.scandir(place) as names:
        entries = [e for e in names if "\\" not in e.name and not folder.hides([*segments, e.name])]
    entries.sort(key=lambda entry: natural(entry.name))
    for entry in entries:
        try:
            line = _entry(folder, segments, entry)
        except (OSError, Refused):
            continue  # removed meanwhile, or a link that leads nowhere or out of the root
        if line is None:
            continue
        room -= len(entry.name)
        if len(found) == MAX_LISTED or room < 0:
            return found, True
        found.append(line)
    return found, False


def _entry(folder: Folder, segments: Sequence[str], entry: os.DirEntry[str]) -> Entry | None:
    """Return the entry; None if it is neither a file nor a folder."""
    if entry.is_symlink():
        folder.resolve([*segments, entry.name])
    info = entry.stat()
    if stat.S_ISDIR(info.st_mode):
        return Entry(entry.name, None, info.st_mtime)
    return Entry(entry.name, info.st_size, info.st_mtime) if stat.S_ISREG(info.st_mode) else None
