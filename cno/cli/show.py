"""What `cno get` shows: heads, pushes, bodies; plain into a pipe, dressed on a terminal.

Whatever a server sends is made harmless for a terminal last, after it is decoded and laid out.
Knows what goes where. Must never know a connection.
"""

import asyncio
import codecs
import sys
from email.message import Message
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Final

from cno.cli.dress import dressed_json
from cno.cli.highlight import highlighted
from cno.cli.pages import human_size
from cno.cli.printer import Printer
from cno.cli.text import STATUS, Paint, coloured_only, harmless, one_line
from cno.cli.worker import Worker

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
#: Characters of a Content-Type that are looked at: to parse parameters may take quadratic time.
MAX_TYPE: Final = 1_000
# Python's own, not of text that anybody sends: some take quadratic time.
_CODECS: Final = ("idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined")


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
    value = value_of(headers, "content-type") or ""
    message["content-type"] = harmless(value) if len(value) <= MAX_TYPE else ""
    charset = message.get_content_charset("utf-8").strip("'")
    try:
        if codecs.lookup(charset).name.replace("_", "-") in _CODECS:
            raise LookupError
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
        self._paint = Paint(sys.stdout)
        self._printer = Printer()
        self._dresser = Worker("cno-dress")

    def __enter__(self) -> "Show":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._printer.close()
        self._dresser.close()

    @property
    def wants_pushes(self) -> bool:
        """Whether anybody would see them."""
        return self.terminal or self.include or self.verbose

    async def drain(self) -> None:
        """Wait until all is shown. Raises OSError (BrokenPipeError)."""
        await self._printer.drain()

    # -- words, to standard error ----------------------------------------------------------------

    def problem(self, text: str) -> None:
        """A line about what went wrong."""
        self._printer.line(f"cno: {one_line(text)}")

    def note(self, text: str, mark: str = "*") -> None:
        """A line of what goes on, for the curious."""
        if self.verbose:
            self._printer.line(f"{mark} {one_line(text)}")

    def asked(self, method: str, path: str, version: str, headers: Headers) -> None:
        if self.verbose:
            self.note(f"{method} {path} {version}", ">")
            for name, value in headers:
                self.note(f"{name}: {value}", ">")

    def pushed(self, text: str) -> None:
        line = f"* {one_line(text)}"
        if self.terminal and not self.verbose:
            self._printer.out(self._paint(line, "magenta") + "\n")
        else:
            self._printer.line(line)

    # -- heads -----------------------------------------------------------------------------------

    def answered(self, version: str, code: int, reason: str, headers: Headers) -> None:
        """Show the head of a response, wherever it is wanted. `reason`: '' if there is none."""
        status = f"{version} {code} {reason}".rstrip()
        if self.verbose:
            self.note(status, "<")
            for name, value in headers:
                self.note(f"{name}: {value}", "<")
        if self.terminal and not self.verbose:
            self._printer.out(self._dressed_head(version, code, reason, headers))
        elif self.include:
            lines = [status, *(f"{name}: {value}" for name, value in headers)]
            if sys.stdout.isatty():
                self._printer.out("".join(f"{one_line(line)}\n" for line in lines) + "\n")
            else:
                text = "".join(f"{line}\r\n" for line in lines) + "\r\n"
                self._printer.out(text.encode("utf-8", "surrogateescape"))

    def _dressed_head(self, version: str, code: int, reason: str, headers: Headers) -> str:
        paint = self._paint
        words = one_line(reason) or phrase(code)
        status = paint(f"{code} {words}".rstrip(), STATUS.get(code // 100, "red"))
        lines = [f"{paint(version, 'dim')} {status}"]
        lines += [f"{paint(one_line(name), 'cyan')}: {one_line(value)}" for name, value in headers]
        return "\n".join([*lines, "", ""])

    # -- bodies ----------------------------------------------------------------------------------

    async def body(self, headers: Headers, payload: asyncio.StreamReader) -> bool:
        """Copy a body to standard output. False: it was binary, and that is a terminal."""
        if self.terminal:
            return await self._dressed_body(headers, payload)
        while chunk := await payload.read(CHUNK):
            self._printer.out(chunk)
            await self.drain()
        return True

    async def _dressed_body(self, headers: Headers, payload: asyncio.StreamReader) -> bool:
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
                self._refuse(headers, size)
                return False
            text += part
            if lexer is not None and size <= MAX_PRETTY:
                if not ended:
                    continue
                await self._dress(text, lexer)
                return True
            # A line break may have been cut in two.
            rest = "\r" if text.endswith("\r") and not ended else ""
            self._printer.out(harmless(text.removesuffix(rest)))
            await self.drain()
            text = rest
        return True

    async def _dress(self, text: str, lexer: str) -> None:
        """Show a whole text in colours; JSON also in lines of its own."""
        dressed = None
        if lexer == "json":
            dressed = await self._dresser.run(partial(dressed_json, text, self._paint))
        elif self._paint.enabled and text:
            dressed = await highlighted(harmless(text), lexer)
        self._printer.out(harmless(text) if dressed is None else coloured_only(dressed))
        await self.drain()

    def _refuse(self, headers: Headers, size: int) -> None:
        length = value_of(headers, "content-length") or ""
        size = int(length) if length.isdecimal() and len(length) < 19 else size
        about = f"(binary, {human_size(size)} or more: use -o FILE)"
        self._printer.out(self._paint(about, "dim") + "\n")


def is_binary(kind: str, text: str) -> bool:
    """Whether this is no text, by its type or by what became of it when it was decoded."""
    if kind.startswith(("audio/", "font/", "image/", "video/")) and kind not in _LEXERS:
        return True
    return "\0" in text or text.count("\ufffd") * 10 > len(text)
