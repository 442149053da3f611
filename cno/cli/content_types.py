"""The content type of a file, by its name.

Knows the table of the standard library, with additions and corrections. Reads no system files, so
that the result is the same everywhere. Must never know a file's content.
"""

import mimetypes
from typing import Final

_NEWER: Final = {
    ".avif": "image/avif",
    ".js": "text/javascript",
    ".json": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".toml": "application/toml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
_COMPRESSED: Final = {
    "gzip": "application/gzip",
    "compress": "application/octet-stream",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "br": "application/octet-stream",
}


def _table() -> mimetypes.MimeTypes:
    table = mimetypes.MimeTypes()
    for ending, kind in _NEWER.items():
        table.add_type(kind, ending)
    return table


_TABLE: Final = _table()


def content_type(name: str) -> str:
    """Return the Content-Type for a file of this name. Text is labelled as UTF-8.

    A compressed file is served as an archive, without a Content-Encoding: the client stores it
    compressed.
    """
    ending = "x" + name[name.rindex(".") :] if "." in name else "x"
    if ending.lower().endswith("gz") and ending.lower() not in ("x.gz", "x.tgz", "x.svgz"):
        ending = "x"
    kind, encoding = _TABLE.guess_type(ending)
    if encoding is not None:
        return _COMPRESSED.get(encoding, "application/octet-stream")
    if kind is None:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
