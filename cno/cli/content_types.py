"""The content type of a file, by its name; without an ending, by its first bytes.

Knows the table of the standard library, with additions and corrections. Reads no system files, so
that the result is the same everywhere.
"""

import mimetypes
from typing import Final

UNKNOWN: Final = "application/octet-stream"
#: Bytes of a file without an ending in its name that decide whether it is text.
SNIFFED: Final = 1_024

# Endings by type: what Debian's /etc/mime.types knows and the standard library does not, or knows
# by an older name.
_TYPES: Final = {
    "application/atom+xml": "atom",
    "application/epub+zip": "epub",
    "application/geo+json": "geojson",
    "application/gpx+xml": "gpx",
    "application/java-archive": "jar",
    "application/json": "json map",
    "application/jsonl": "jsonl ndjson",
    "application/ld+json": "jsonld",
    "application/manifest+json": "webmanifest",
    "application/msword": "doc dot",
    "application/ogg": "ogx",
    "application/pdf": "pdf",
    "application/rdf+xml": "rdf",
    "application/rss+xml": "rss",
    "application/rtf": "rtf",
    "application/sql": "sql",
    "application/toml": "toml",
    "application/vnd.android.package-archive": "apk",
    "application/vnd.apple.mpegurl": "m3u8",
    "application/vnd.debian.binary-package": "deb",
    "application/vnd.google-earth.kml+xml": "kml",
    "application/vnd.google-earth.kmz": "kmz",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.rar": "rar",
    "application/vnd.sqlite3": "sqlite sqlite3",
    "application/wasm": "wasm",
    "application/x-7z-compressed": "7z",
    "application/x-bittorrent": "torrent",
    "application/x-iso9660-image": "iso",
    "application/x-rpm": "rpm",
    "application/x-x509-ca-cert": "crt der pem",  # phones install what has this type
    "application/xhtml+xml": "xhtml xht",
    "application/xslt+xml": "xsl xslt",
    "application/yaml": "yaml yml",
    "application/zip": "zip",
    "application/zstd": "zst",
    "audio/aac": "aac adts",
    "audio/flac": "flac",
    "audio/midi": "mid midi",
    "audio/mp4": "m4a m4b",
    "audio/mpeg": "mp3 mp2",
    "audio/ogg": "ogg oga opus spx",
    "audio/wav": "wav",
    "audio/webm": "weba",
    "audio/x-aiff": "aif aiff",
    "audio/x-mpegurl": "m3u",
    "font/collection": "ttc",
    "font/otf": "otf",
    "font/ttf": "ttf",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "application/vnd.ms-fontobject": "eot",
    "image/apng": "apng",
    "image/avif": "avif",
    "image/bmp": "bmp",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/jpeg": "jpg jpeg jpe jfif",
    "image/jxl": "jxl",
    "image/svg+xml": "svg",
    "image/vnd.microsoft.icon": "ico",
    "image/webp": "webp",
    "model/gltf+json": "gltf",
    "model/gltf-binary": "glb",
    "model/obj": "obj",
    "model/stl": "stl",
    "text/calendar": "ics",
    "text/csv": "csv",
    "text/javascript": "js mjs cjs",
    "text/markdown": "md markdown",
    "text/tab-separated-values": "tsv",
    "text/vcard": "vcf",
    "text/vtt": "vtt",
    "text/xml": "xml xsd",
    "video/3gpp": "3gp",
    "video/matroska": "mkv",
    "video/mp2t": "m2ts",
    "video/mp4": "mp4 m4v",
    "video/mpeg": "mpeg mpg mpe",
    "video/ogg": "ogv",
    "video/quicktime": "mov qt",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/x-msvideo": "avi",
    # Sources, which a browser is to show.
    "text/plain": (
        "txt text log ini cfg conf env properties asc diff patch rst adoc org tex bib srt "
        "c h cc cpp cxx hh hpp hxx m mm rs go py pyi pyx pxd rb pl pm php lua r jl swift kt kts "
        "java scala clj cljs ex exs erl hrl hs lhs ml mli fs fsx vb cs d nim zig v dart elm "
        "ts tsx jsx vue svelte scss sass less styl sh bash zsh fish ps1 bat cmd awk sed mk cmake "
        "gradle groovy tf nix proto graphql gql thrift lock gitignore dockerfile el lisp scm vim"
    ),
}
_COMPRESSED: Final = {
    "gzip": "application/gzip",
    "compress": UNKNOWN,
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "br": UNKNOWN,
}


def _table() -> mimetypes.MimeTypes:
    table = mimetypes.MimeTypes()
    for kind, endings in _TYPES.items():
        for ending in endings.split():
            table.add_type(kind, f".{ending}")
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
        return _COMPRESSED.get(encoding, UNKNOWN)
    if kind is None:
        return UNKNOWN
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def is_active(kind: str) -> bool:
    """Return whether a browser runs what a file of this type says: it is HTML or XML."""
    name = kind.partition(";")[0]
    return name in ("text/html", "text/xml", "application/xml") or name.endswith("+xml")


def sniffed(start: bytes) -> str:
    """Return the Content-Type for a file without an ending (README, Makefile) by its first bytes.

    It is text if they are UTF-8 without control characters. A character may be cut at the end.
    """
    for cut in range(min(4, len(start))):
        try:
            text = start[: len(start) - cut].decode()
        except UnicodeDecodeError:
            continue
        is_text = all(c >= " " or c in "\t\n\r\f\x1b" for c in text)
        return "text/plain; charset=utf-8" if is_text else UNKNOWN
    return UNKNOWN
