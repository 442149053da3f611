"""The output of `cno get`: heads, pushes and bodies, formatted if it goes to a terminal.

Control characters of a server are removed last, after decoding and formatting. Knows which output
goes where. Must never know a connection.
"""

import codecs
import sys
from functools import partial
from io import FileIO
from types import TracebackType
from typing import Final, Protocol

from cno.cli.printer import Printer
from cno.cli.text import STATUS, Paint, coloured_only, harmless, one_line
from cno.cli.worker import Worker

Headers = list[tuple[str, str]]

#: Bytes read at a time, and bytes of the largest body that is formatted.
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
#: Characters of a Content-Type that is parsed: parsing parameters may take quadratic time.
MAX_TYPE: Final = 1_000
# Codecs of Python that are not charsets; some take quadratic time.
_CODECS: Final = ("idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined")


class Readable(Protocol):
    """A body: an `asyncio.StreamReader`, or a `BodyReader`."""

    async def read(self, n: int = -1, /) -> bytes: ...


def head_bytes(status: str, headers: Headers) -> bytes:
    """Return the head of a response as HTTP/1.1 writes it."""
    lines = [status, *(f"{name}: {value}" for name, value in headers)]
    text = "".join(f"{line}\r\n" for line in lines) + "\r\n"
    return text.encode("utf-8", "surrogateescape")


def phrase(code: int) -> str:
    """Return the standard reason phrase of a status; '' if it has none."""
    try:
        from http import HTTPStatus  # slow to import

        return HTTPStatus(code).phrase
    except ValueError:
        return ""


def value_of(headers: Headers, name: str) -> str | None:
    """Return the first value of a field; None if there is none."""
    return next((value for key, value in headers if key == name), None)


def kind_of(headers: Headers) -> tuple[str, str]:
    """Return the media type in lower case, and the charset (UTF-8 unless a known one is named)."""
    from email.message import Message  # slow to import

    message = Message()
    value = value_of(headers, "content-type") or ""
    message["content-type"] = harmless(value) if len(value) <= MAX_TYPE else ""
    charset = message.get_content_charset("utf-8").strip("'")
    try:
        if codecs.lookup(charset).name.replace("_", "-") in _CODECS:
            raise LookupError
        # Some codecs do not decode to text: they would inflate it, say.
        b"ab".decode(charset, "replace")
        codecs.getincrementaldecoder(charset)("replace")
    except (LookupError, ValueError):
        charset = "utf-8"
    return message.get_content_type() if message["content-type"] else "", charset


class CommandOutput:
    """The outputs of one command.

    `include`: write heads to standard output. `verbose`: write requests, heads and connections to
    standard error. `saving`: bodies go to files. If they go to a terminal, heads are always shown.
    """

    def __init__(self, include: bool, verbose: bool, saving: bool) -> None:
        self.include = include
        self.verbose = verbose
        #: Whether errors are left out.
        self.silent = False
        #: The file that gets all heads.
        self.heads: FileIO | None = None
        #: Whether a trace shows the heads on standard error.
        self.traced = False
        self.terminal = sys.stdout.isatty() and not saving
        self._paint = Paint(sys.stdout)
        self._printer = Printer()
        self._formatter = Worker("cno-dress")

    def __enter__(self) -> "CommandOutput":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._printer.close()
        self._formatter.close()

    @property
    def shows_pushes(self) -> bool:
        """Whether pushes are shown anywhere."""
        return self.terminal or self.include or self.verbose

    async def drain(self) -> None:
        """Wait until all is written. Raises OSError (BrokenPipeError)."""
        await self._printer.drain()

    # -- standard error --------------------------------------------------------------------------

    def problem(self, text: str) -> None:
        """Write an error."""
        if not self.silent:
            self._printer.line(f"cno: {one_line(text)}")

    def write(self, text: str, to_error: bool = False) -> None:
        """Write a text as it is; on a terminal, a harmless one."""
        file = sys.stderr if to_error else sys.stdout
        shown = harmless(text) if file.isatty() else text
        if to_error:
            self._printer.error(shown)
        else:
            self._printer.out(shown.encode("utf-8", "surrogateescape"))

    def line(self, text: str) -> None:
        """Write a line to standard error. (It is harmless, and may have colours.)"""
        self._printer.line(text)

    def note(self, text: str, mark: str = "*") -> None:
        """Write a line if `verbose` is set."""
        if self.verbose:
            self._printer.trace(f"{mark} {one_line(text)}")

    def trace(self, text: str) -> None:
        """Write a line about a connection to standard error; see `Printer.trace`."""
        self._printer.trace(text)

    def request_head(self, method: str, path: str, version: str, headers: Headers) -> None:
        if self.verbose and not (self.traced and version == "HTTP/2"):
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

    def response_head(self, version: str, code: int, reason: str, headers: Headers) -> None:
        """Show the head of a response, wherever it is wanted. `reason`: '' if there is none."""
        status = f"{version} {code} {reason}".rstrip()
        if self.heads is not None:
            self.heads.write(head_bytes(status, headers))
        if self.verbose and not (self.traced and version == "HTTP/2"):
            self.note(status, "<")
            for name, value in headers:
                self.note(f"{name}: {value}", "<")
        if self.terminal and not self.verbose:
            self._printer.out(self._formatted_head(version, code, reason, headers))
        elif self.include:
            lines = [status, *(f"{name}: {value}" for name, value in headers)]
            if sys.stdout.isatty():
                self._printer.out("".join(f"{one_line(line)}\n" for line in lines) + "\n")
            else:
                self._printer.out(head_bytes(status, headers))

    def _formatted_head(self, version: str, code: int, reason: str, headers: Headers) -> str:
        paint = self._paint
        words = one_line(reason) or phrase(code)
        status = paint(f"{code} {words}".rstrip(), STATUS.get(code // 100, "red"))
        lines = [f"{paint(version, 'dim')} {status}"]
        lines += [f"{paint(one_line(name), 'cyan')}: {one_line(value)}" for name, value in headers]
        return "\n".join([*lines, "", ""])

    # -- bodies ----------------------------------------------------------------------------------

    async def body(self, headers: Headers, payload: Readable) -> bool:
        """Write a body to standard output. Return False if it is binary and that is a terminal."""
        if self.terminal:
            return await self._formatted_body(headers, payload)
        while chunk := await payload.read(CHUNK):
            self._printer.out(chunk)
            await self.drain()
        return True

    async def _formatted_body(self, headers: Headers, payload: Readable) -> bool:
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
                self._note_binary(headers, size)
                return False
            text += part
            if lexer is not None and size <= MAX_PRETTY:
                if not ended:
                    continue
                await self._format(text, lexer)
                return True
            # The chunk may end between the two characters of a line break.
            rest = "\r" if text.endswith("\r") and not ended else ""
            self._printer.out(harmless(text.removesuffix(rest)))
            await self.drain()
            text = rest
        return True

    async def _format(self, text: str, lexer: str) -> None:
        """Write a whole text in colours, and JSON with one element a line."""
        from cno.cli.highlight import highlighted
        from cno.cli.pretty_json import pretty_json

        formatted = None
        if lexer == "json":
            formatted = await self._formatter.run(partial(pretty_json, text, self._paint))
        elif self._paint.enabled and text:
            formatted = await highlighted(harmless(text), lexer)
        self._printer.out(harmless(text) if formatted is None else coloured_only(formatted))
        await self.drain()

    def _note_binary(self, headers: Headers, size: int) -> None:
        from cno.cli.pages import human_size

        length = value_of(headers, "content-length") or ""
        size = int(length) if length.isdecimal() and len(length) < 19 else size
        about = f"(binary, {human_size(size)} or more: use -o FILE)"
        self._printer.out(self._paint(about, "dim") + "\n")


def is_binary(kind: str, text: str) -> bool:
    """Return whether content is not text, by its type or by the number of decoding errors."""
    if kind.startswith(("audio/", "font/", "image/", "video/")) and kind not in _LEXERS:
        return True
    return "\0" in text or text.count("\ufffd") * 10 > len(text)
