"""The entries of a folder that requests can reach.

Knows folders and the rules of `paths`. Must never know a request or HTML.
"""

import os
import stat
from collections.abc import Sequence
from typing import Final

from cno.cli.pages import Entry, natural
from cno.cli.paths import Refused, inner_names, open_inside, resolve

#: Entries of a listing, and characters of their names. The page has up to nine bytes for each
#: character (`%26` and `&amp;`) and 70 for each entry. Of a larger folder, the first ones in the
#: order of their names are listed.
MAX_LISTED: Final = 10_000
MAX_NAMES: Final = 524_288


def list_folder(root: str, segments: Sequence[str]) -> tuple[list[Entry], bool]:
    """Return the entries of the folder at `segments`, by name, and whether some are left out.

    Entries beyond `MAX_LISTED` or `MAX_NAMES` are left out. Blocks, and takes long for large
    folders. Raises Refused or OSError.
    """
    folder = open_inside(root, segments)
    try:
        if not folder.is_folder:
            raise Refused(404)
        root, names = resolve(root, segments)
        place = folder.fd if folder.fd >= 0 else os.path.join(root, *names)
        return _scan(root, segments, place)
    finally:
        if folder.fd >= 0:
            os.close(folder.fd)


def _scan(root: str, segments: Sequence[str], place: int | str) -> tuple[list[Entry], bool]:
    found: list[Entry] = []
    room = MAX_NAMES
    with os.scandir(place) as names:
        entries = [e for e in names if e.name[:1] != "." and "\\" not in e.name]
    entries.sort(key=lambda entry: natural(entry.name))
    for entry in entries:
        try:
            line = _entry(root, segments, entry)
        except (OSError, Refused):
            continue  # removed meanwhile, or a link that leads nowhere or out of the root
        if line is None:
            continue
        room -= len(entry.name)
        if len(found) == MAX_LISTED or room < 0:
            return found, True
        found.append(line)
    return found, False


def _entry(root: str, segments: Sequence[str], entry: os.DirEntry[str]) -> Entry | None:
    """Return the entry; None if it is neither a file nor a folder."""
    if entry.is_symlink():
        inner_names(root, [*segments, entry.name])
    info = entry.stat()
    if stat.S_ISDIR(info.st_mode):
        return Entry(entry.name, None)
    return Entry(entry.name, info.st_size) if stat.S_ISREG(info.st_mode) else None
