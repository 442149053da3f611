"""What `cno get` shows: heads, pushes, bodies; plain into a pipe, dressed on a terminal.

Knows terminals, and what must not reach one: whatever a server sends is made harmless first. Must
never know a connection.
"""

import asyncio
import codecs
import json
import sys
from email.message import Message
from http import HTTPStatus
from typing import Final

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from cno.cli.pages import human_size

Headers = list[tuple[str, str]]

#: Octets read at a time, and octets of a body that are dressed up at most.
CHUNK: Final = 65_536
MAX_PRETTY: Final = 262_144

_LEXERS: Final = {
    "application/json": "json",
    "application/javascript": "javascript",
    "application/xml": "xml",
    "image/svg+xml": "xml",
    "text/css": "css",
    "text/html": "html",
    "text/javascript": "javascript",
    "text/xml": "xml",
}
# Control characters as pictures of themselves: a terminal obeys the real ones.
_HARMLESS: Final = {
    **{code: 0x2400 + code for code in range(32) if code not in (9, 10)},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
    **dict.fromkeys(range(0xD800, 0xE000), 0xFFFD),
    # What turns the direction of text around.
    **dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD),
}


def harmless(text: str) -> str:
    """The text without what a terminal would obey."""
    return text.replace("\r\n", "\n").translate(_HARMLESS)


def phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return ""


def value_of(headers: Headers, name: str) -> str | None:
    return next((value for key, value in headers if key == name), None)


def kind_of(headers: Headers) -> tuple[str, str]:
    """The media type, lower-cased, and the charset (UTF-8 unless a known one is named)."""
    message = Message()
    message["content-type"] = harmless(value_of(headers, "content-type") or "")
    charset = message.get_content_charset("utf-8").strip("'")
    try:
        # Not all codecs are of text: some would inflate it.
        b"ab".decode(charset, "replace")
        codecs.getincrementaldecoder(charset)("replace")
    except (LookupError, ValueError):
        charset = "utf-8"
    return message.get_content_type() if message["content-type"] else "", charset


class Show:
    """Where things go: `include` puts heads into the output, `verbose` tells all on standard error.

    `saving`: bodies go to files; else, where standard output is a terminal, heads are always shown.
    """

    def __init__(self, include: bool, verbose: bool, saving: bool) -> None:
        self.include = include
        self.verbose = verbose
        self.terminal = sys.stdout.isatty() and not saving
        self._console = Console(highlight=False, soft_wrap=True) if self.terminal else None

    @property
    def wants_pushes(self) -> bool:
        """Whether anybody would see them."""
        return self.terminal or self.include or self.verbose

    # -- words, to standard error ----------------------------------------------------------------

    def note(self, text: str, mark: str = "*") -> None:
        """A line of what goes on, for the curious."""
        if self.verbose:
            print(f"{mark} {harmless(text)}", file=sys.stderr)

    def asked(self, method: str, path: str, version: str, headers: Headers) -> None:
        if self.verbose:
            self.note(f"{method} {path} {version}", ">")
            for name, value in headers:
                self.note(f"{name}: {value}", ">")

    def pushed(self, text: str) -> None:
        if self._console is not None and not self.verbose:
            self._console.print(Text("* " + harmless(text), "magenta"))
        else:
            print(f"* {harmless(text)}", file=sys.stderr)

    # -- heads -----------------------------------------------------------------------------------

    def answered(self, version: str, code: int, headers: Headers) -> None:
        """The head of a response, wherever it is wanted."""
        if self.verbose:
            self.note(f"{version} {code}", "<")
            for name, value in headers:
                self.note(f"{name}: {value}", "<")
        if self._console is not None and not self.verbose:
            self._dressed_head(self._console, version, code, headers)
        elif self.include:
            lines = [f"{version} {code}", *(f"{name}: {value}" for name, value in headers)]
            text = "".join(f"{line}\r\n" for line in lines) + "\r\n"
            if sys.stdout.isatty():
                print(harmless(text), end="")
            else:
                sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
                sys.stdout.buffer.flush()

    def _dressed_head(self, console: Console, version: str, code: int, headers: Headers) -> None:
        style = {2: "bold green", 3: "bold cyan", 4: "bold yellow"}.get(code // 100, "bold red")
        head = Text.assemble((version, "dim"), " ", (f"{code} {phrase(code)}".rstrip(), style))
        for name, value in headers:
            head.append("\n")
            head.append(harmless(name), "cyan")
            head.append(f": {harmless(value)}")
        console.print(head)
        console.print()

    # -- bodies ----------------------------------------------------------------------------------

    async def body(self, headers: Headers, payload: asyncio.StreamReader) -> bool:
        """Copy a body to standard output. False: it was binary, and that is a terminal."""
        if self._console is not None:
            return await self._dressed_body(self._console, headers, payload)
        while chunk := await payload.read(CHUNK):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        return True

    async def _dressed_body(
        self, console: Console, headers: Headers, payload: asyncio.StreamReader
    ) -> bool:
        kind, charset = kind_of(headers)
        lexer = "json" if kind.endswith("+json") else _LEXERS.get(kind)
        decode = codecs.getincrementaldecoder(charset)("replace").decode
        text, size, ended = "", 0, False
        while not ended:
            chunk = await payload.read(CHUNK)
            ended = not chunk
            size += len(chunk)
            part = decode(chunk, ended)
            if is_binary(kind, part):
                self._refuse(console, headers, size)
                return False
            text += part
            if lexer is not None and not ended and size <= MAX_PRETTY:
                continue
            if lexer is not None and ended and size <= MAX_PRETTY:
                dress(console, text, lexer)
            else:
                console.print(Text(harmless(text)), end="")
            text = ""
        return True

    def _refuse(self, console: Console, headers: Headers, size: int) -> None:
        length = value_of(headers, "content-length") or ""
        size = int(length) if length.isdecimal() and len(length) < 19 else size
        console.print(Text(f"(binary, {human_size(size)} or more: use -o FILE)", "dim"))


def is_binary(kind: str, text: str) -> bool:
    """Whether this is no text, by its type or by what became of it when it was decoded."""
    if kind.startswith(("audio/", "font/", "image/", "video/")) and kind not in _LEXERS:
        return True
    return "\0" in text or text.count("\ufffd") * 10 > len(text)


def dress(console: Console, text: str, lexer: str) -> None:
    """Print a whole text in colours; JSON also in lines of its own."""
    text = harmless(text)
    if lexer == "json":
        try:
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            pass  # it is not, so it is shown as it is
    syntax = Syntax(text, lexer, theme="ansi_dark", background_color="default", word_wrap=True)
    console.print(syntax, soft_wrap=False)
