"""The content of requests: `-d` and its relatives, forms (`-F`), and files (`-T`).

Knows how users name data, and the media types of forms. Must never know a request.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

from cno.cli.option_table import ArgumentError
from cno.cli.problems import Problem, reason
from cno.cli.values import Values, fresh

Headers = list[tuple[str, str]]

#: Exit status: a file to send cannot be read.
NOT_READ: Final = 26
#: Bytes read at a time.
CHUNK: Final = 65_536
FORM: Final = "application/x-www-form-urlencoded"


class Content(Values):
    """The content of a request. `make` returns it anew for each attempt.

    `headers` are the default fields that it has. `again`: it can be sent more than once.
    """

    make: Callable[[], Any]
    headers: Headers = fresh(default_factory=list)
    again: bool = True
    size: int | None = None


EMPTY: Final = Content(bytes, size=0)


def of_bytes(data: bytes, *headers: tuple[str, str]) -> Content:
    """Return content that is here."""
    return Content(lambda: data, list(headers), size=len(data))


def read_file(path: str, binary: bool = True) -> bytes:
    """Return a file's bytes ('-': standard input), without its line ends unless `binary`."""
    try:
        if path == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                data = file.read()
    except OSError as error:
        raise Problem(f"cannot read {path}: {reason(error)}", NOT_READ) from None
    return data if binary else data.translate(None, b"\r\n\0")


# -- -d --------------------------------------------------------------------------------------------


def data_option(kind: str) -> Callable[[str], tuple[str, str]]:
    """Return how an option that adds data is parsed: its kind stays with its text."""
    return lambda text: (kind, text)


def joined(pieces: list[tuple[str, str]]) -> bytes:
    """Join the values of -d, --data-binary, --data-raw, --data-urlencode and --json."""
    data = b""
    for number, (kind, text) in enumerate(pieces):
        if number and kind != "json":
            data += b"&"
        data += piece_of(kind, text)
    return data


def piece_of(kind: str, text: str) -> bytes:
    """Return the bytes of one such option."""
    if kind == "urlencode":
        return urlencoded(text)
    if kind == "raw" or text[:1] != "@":
        return os.fsencode(text)
    return read_file(text[1:], binary=kind != "data")


def urlencoded(text: str) -> bytes:
    """Return `NAME=CONTENT`, `=CONTENT`, `CONTENT`, `NAME@FILE` or `@FILE`, content encoded."""
    from urllib.parse import quote_from_bytes

    places = [at for at in (text.find("="), text.find("@")) if at >= 0]
    at = min(places, default=-1)
    name, mark, rest = (text[:at], text[at], text[at + 1 :]) if at >= 0 else ("", "", text)
    content = read_file(rest) if mark == "@" else os.fsencode(rest)
    encoded = quote_from_bytes(content, safe="-._~").encode()
    return os.fsencode(name) + b"=" + encoded if name else encoded


def data_content(pieces: list[tuple[str, str]]) -> Content:
    """Return the content that such options make."""
    data = joined(pieces)
    if any(kind == "json" for kind, _ in pieces):
        return of_bytes(data, ("content-type", "application/json"), ("accept", "application/json"))
    return of_bytes(data, ("content-type", FORM))


def with_query(url: str, data: bytes) -> str:
    """Return a URL with data added to its query (-G)."""
    before, mark, fragment = url.partition("#")
    joint = "&" if "?" in before else "?"
    return f"{before}{joint}{os.fsdecode(data)}{mark}{fragment}"


# -- -T --------------------------------------------------------------------------------------------


def upload(path: str) -> Content:
    """Return the content of a file; '-': standard input, as it comes."""
    if path in ("-", "."):
        return Content(standard_input, again=False)
    try:
        size = os.stat(path).st_size
        open(path, "rb").close()
    except OSError as error:
        raise Problem(f"cannot read {path}: {reason(error)}", NOT_READ) from None
    return Content(lambda: file_chunks(path), [("content-length", str(size))], size=size)


def file_chunks(path: str) -> Iterator[bytes]:
    """Yield the bytes of a file."""
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            yield chunk


async def standard_input() -> AsyncIterator[bytes]:
    """Yield standard input, which may be a pipe that has nothing to give yet."""
    descriptor = sys.stdin.fileno()
    while chunk := await asyncio.to_thread(os.read, descriptor, CHUNK):
        yield chunk


def upload_url(url: str, path: str) -> str:
    """Return where a file goes: a URL that ends in a slash gets the name of the file."""
    from urllib.parse import quote

    if path in ("-", ".") or not url.partition("?")[0].endswith("/"):
        return url
    before, mark, query = url.partition("?")
    return f"{before}{quote(os.path.basename(path))}{mark}{query}"


# -- -F --------------------------------------------------------------------------------------------


class Part(Values):
    """A part of a form: its head, and the bytes or the file that it has."""

    head: bytes
    content: bytes | str

    def size(self) -> int:
        own = len(self.content) if isinstance(self.content, bytes) else file_size(self.content)
        return len(self.head) + own + 2


def file_size(path: str) -> int:
    """Return the size of a file that can be read. Raises Problem."""
    try:
        open(path, "rb").close()
        return os.stat(path).st_size
    except OSError as error:
        raise Problem(f"cannot read {path}: {reason(error)}", NOT_READ) from None


def form(fields: list[tuple[str, str]]) -> Content:
    """Return a form of the values of -F and --form-string (RFC 7578)."""
    boundary = f"------------------------{os.urandom(16).hex()}"
    parts = [part_of(kind, text, boundary) for kind, text in fields]
    end = f"--{boundary}--\r\n".encode()
    size = sum(part.size() for part in parts) + len(end)

    def make() -> Iterator[bytes]:
        for part in parts:
            yield part.head
            if isinstance(part.content, bytes):
                yield part.content
            else:
                with open(part.content, "rb", buffering=0) as file:
                    while chunk := file.read(CHUNK):
                        yield chunk
            yield b"\r\n"
        yield end

    kind = ("content-type", f"multipart/form-data; boundary={boundary}")
    return Content(make, [kind, ("content-length", str(size))], size=size)


def part_of(kind: str, text: str, boundary: str) -> Part:
    """Return a part: `NAME=CONTENT`, `NAME=@FILE`, `NAME=<FILE`, with `;type=` and `;filename=`."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ArgumentError(f"-F {text!r}: should be 'name=content'")
    if kind == "string":
        return Part(part_head(boundary, name, "", ""), os.fsencode(value))
    value, more = parameters(value)
    if value[:1] == "@":
        path = value[1:]
        shown = more.get("filename", os.path.basename(path))
        head = part_head(boundary, name, shown, more.get("type", type_of(path)))
        return Part(head, read_file("-") if path == "-" else path)
    content = read_file(value[1:]) if value[:1] == "<" else os.fsencode(value)
    return Part(part_head(boundary, name, more.get("filename", ""), more.get("type", "")), content)


def parameters(value: str) -> tuple[str, dict[str, str]]:
    """Split `;type=` and `;filename=` from the end of a value."""
    found: dict[str, str] = {}
    while True:
        before, mark, last = value.rpartition(";")
        name, equals, setting = last.partition("=")
        if not mark or not equals or name.strip() not in ("type", "filename"):
            return value, found
        found[name.strip()] = setting.strip('"')
        value = before


def part_head(boundary: str, name: str, filename: str, kind: str) -> bytes:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{quoted(name)}"'
    if filename:
        head += f'; filename="{quoted(filename)}"'
    if kind:
        head += f"\r\nContent-Type: {kind}"
    return os.fsencode(head + "\r\n\r\n")


def quoted(text: str) -> str:
    """Return a text for between quotation marks, as browsers write it."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def type_of(name: str) -> str:
    """Return the media type of a file, by its name."""
    from mimetypes import guess_type

    return guess_type(name)[0] or "application/octet-stream"
