"""The HTML page of a folder: its path, a table of its entries, a filter, its README.

Takes names and numbers, escapes them and returns HTML. Must never know a file system, a request or
a connection.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from cno.cli.assets import hashed, read_asset
from cno.cli.pages import Entry, human_size, link, natural, page

KIB: Final = 1_024
#: The columns by which a listing can be sorted, with their titles.
COLUMNS: Final = {"name": "Name", "date": "Changed", "size": "Size"}

_STYLE: Final = read_asset("listing.css")
_SCRIPT: Final = read_asset("listing.js")
_UPLOAD: Final = read_asset("upload.js")

#: Content-Security-Policy of listings: their own script and style, images of this server.
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; "
    f"form-action 'none'; frame-ancestors 'none'; script-src {hashed(_SCRIPT)}"
)

#: The same with the script that uploads, to this server.
UPLOAD_POLICY: Final = f"{POLICY} {hashed(_UPLOAD)}; connect-src 'self'"


class SortOrder(NamedTuple):
    """How a listing is sorted. `column`: one of COLUMNS."""

    column: str = "name"
    descending: bool = False

    @property
    def query(self) -> str:
        """The query of a URL that asks for this order; '' for the usual one."""
        if self == SortOrder():
            return ""
        return f"?sort={self.column}" + ("&order=desc" if self.descending else "")

    def sort(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return entries in this order: folders first, and equal ones by name."""
        named = sorted(entries, key=lambda entry: natural(entry.name))
        if self.column == "date":
            named.sort(key=lambda entry: entry.modified, reverse=self.descending)
        elif self.column == "size":
            named.sort(key=lambda entry: entry.size or 0, reverse=self.descending)
        elif self.descending:
            named.reverse()
        return sorted(named, key=lambda entry: entry.size is not None)


def parse_order(target: str) -> SortOrder:
    """Return the order that the query of a target asks for."""
    query = target.partition("?")[2]
    if len(query) > 256 or "sort=" not in query:
        return SortOrder()
    values = parse_qs(query, max_num_fields=16) if query.count("&") < 16 else {}
    column = values.get("sort", ["name"])[-1]
    if column not in COLUMNS:
        return SortOrder()
    return SortOrder(column, values.get("order", [""])[-1] == "desc")


#: Folders first, then files, each by name.
USUAL: Final = SortOrder()


@dataclass(frozen=True)
class Listing:
    """What a page shows. `root`: the name of the served folder; `segments`: the names from there.

    `more`: some entries are left out. `readme`: HTML. `archives`: the endings of archives that can
    be downloaded. `upload`: files may be uploaded into the folder.
    """

    root: str
    segments: Sequence[str]
    entries: Sequence[Entry]
    more: bool = False
    order: SortOrder = USUAL
    readme: str = ""
    archives: Sequence[str] = ()
    upload: bool = False


def listing_page(listing: Listing) -> bytes:
    """Return the page.

    Links are relative, so that the page works below any prefix. They begin with `./`, so that a
    name like `a:b` is not read as a scheme.
    """
    title = listing.segments[-1] if listing.segments else listing.root
    parts = [
        '<link rel="icon" href="data:,">',  # else browsers ask for /favicon.ico
        f"<h1>{breadcrumbs(listing)}</h1>",
        bar(listing),
        "<main><table><thead><tr>",
        *(heading(column, listing.order) for column in COLUMNS),
        "</tr></thead>\n<tbody>",
        *rows(listing),
        "</tbody></table></main>",
    ]
    if listing.more:
        parts.append("<p>This folder has more entries, which are not shown.</p>")
    elif not listing.entries:
        parts.append("<p>This folder is empty.</p>")
    if listing.readme:
        parts.append(f'<section class="readme">{listing.readme}</section>')
    parts.append(f"<script>{_SCRIPT}</script>")
    if listing.upload:
        parts.append(f"<script>{_UPLOAD}</script>")
    return page(escape(f"{title}/"), "\n".join(parts), _STYLE)


def breadcrumbs(listing: Listing) -> str:
    """Return the path from the served folder to this one; each folder but this one is a link."""
    names = [listing.root, *listing.segments]
    query = escape(listing.order.query)
    crumbs = [
        f'<a href="{"../" * up}{query}">{escape(name)}</a>/'
        for up, name in zip(range(len(names) - 1, 0, -1), names[:-1], strict=True)
    ]
    return "<wbr>".join([*crumbs, f"{escape(names[-1])}/"])


def bar(listing: Listing) -> str:
    """Return the filter, the number of entries and the links to archives."""
    files = [entry.size for entry in listing.entries if entry.size is not None]
    folders = len(listing.entries) - len(files)
    counts = [count(folders, "folder")] if folders else []
    if files:
        counts.append(f"{count(len(files), 'file')}, {human_size(sum(files))}")
    links = " ".join(
        f'<a href="./?archive={ending}" download>{ending}</a>' for ending in listing.archives
    )
    download = f"<span>Download: {links}</span>" if links and listing.entries else ""
    upload = (
        '<span class="upload" hidden><label>Upload <input type="file" multiple></label> '
        "<output></output></span>"
    )
    return (
        '<div class="bar"><input type="search" placeholder="Filter" aria-label="Filter" hidden>'
        f"<span>{', '.join(counts)}</span>{download}{upload if listing.upload else ''}</div>"
    )


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def heading(column: str, order: SortOrder) -> str:
    """Return the head of a column: a link that sorts by it, or the other way round."""
    current = order.column == column
    # The newest and the largest are what people look for.
    descending = not order.descending if current else column != "name"
    arrow = (" ▾" if order.descending else " ▴") if current else ""
    state = f' aria-sort="{"descending" if order.descending else "ascending"}"' if current else ""
    query = escape(SortOrder(column, descending).query)
    return f'<th{state}><a href="./{query}">{COLUMNS[column]}{arrow}</a></th>'


def rows(listing: Listing) -> Iterable[str]:
    query = escape(listing.order.query)
    if listing.segments:
        yield f'<tr class="u"><td><a href="../{query}">..</a></td><td></td><td></td></tr>'
    for entry in listing.order.sort(listing.entries):
        href, name = escape("." + link([entry.name])), escape(entry.name)
        changed = time.gmtime(entry.modified)
        date = f'<time datetime="{time.strftime("%Y-%m-%dT%H:%MZ", changed)}">' + (
            time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.modified)) + "</time>"
        )
        if entry.size is None:
            yield (
                f'<tr class="d"><td><a href="{href}/{query}">{name}/</a></td>'
                f"<td>{date}</td><td></td></tr>"
            )
        else:
            yield (
                f'<tr><td><a href="{href}">{name}</a></td><td>{date}</td>'
                f'<td title="{entry.size:,} bytes">{size_in_kib(entry.size)}</td></tr>'
            )


def size_in_kib(size: int) -> str:
    """Return a size in KiB, the one unit of listings, so that sizes compare at a glance."""
    if size >= 10 * KIB or size == 0:
        return f"{(size + KIB // 2) // KIB:,} KiB"
    return f"{max(size / KIB, 0.1):.1f} KiB"
