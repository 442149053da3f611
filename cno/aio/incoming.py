"""A message that is received: its fields by name, and its body as bytes, text or JSON.

The base of `Request` and `Response`. Must never know what either of them is.
"""

import asyncio
import codecs
from typing import TYPE_CHECKING, Any, Final, overload

from mypy_extensions import i64

from cno.aio.connection.exchange import Exchange
from cno.aio.errors import BodyTooLargeError
from cno.aio.fields import Headers
from cno.errors import UsageError
from cno.headers import content_length

if TYPE_CHECKING:
    from cno.aio.connection.protocol import Connection

#: Bytes of a body that one step of an iteration returns at most.
PIECE: Final = 131_072
#: Encodings of Python that are no charsets of the web. Decoding `idna` takes quadratic time.
NO_CHARSETS: Final = frozenset(
    ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7")
)

#: Why `read` does not return the rest of a body, which would look like the whole.
ITERATED: Final = (
    "an iteration has returned a part of the body, which is not kept: call read(), text() or "
    "json() before it or instead of it; payload.read() returns the rest"
)


class IncomingMessage(Exchange):
    """A message that is received: a request or a response."""

    def __init__(self, conn: "Connection", stream: int, headers: Headers) -> None:
        super().__init__(conn, stream, headers)
        self._content: bytes | None = None  # the whole body, once `read` has returned it

    @property
    def is_http2(self) -> bool:
        """Whether the message came over HTTP/2."""
        return self._conn._http2

    @overload
    def header(self, name: str) -> str | None: ...

    @overload
    def header(self, name: str, default: str) -> str: ...

    def header(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a field; `default` if there is none.

        The case of the name does not matter. `host` is `:authority` in a request of either
        protocol. Use `header_values` for fields that may come more than once. (RFC 9110 5.3)
        """
        wanted = name.lower()
        for key, value in self.headers:
            if key == wanted:
                return value
        if wanted == "host":
            for key, value in self.headers:
                if key == ":authority":
                    return value
        return default

    def header_values(self, name: str) -> list[str]:
        """Return all values of a field, in their order. Values with commas are not split."""
        wanted = name.lower()
        found = [value for key, value in self.headers if key == wanted]
        return self.header_values(":authority") if wanted == "host" and not found else found

    async def read(self, limit: int | None = None) -> bytes:
        """Wait for the whole body, and return it; later calls return the same bytes.

        `limit` is the largest size, in bytes, that is accepted. Raises BodyTooLargeError for a
        larger body, without waiting for the rest of it; UsageError if an iteration has returned a
        part of the body. Raises the errors of `payload.read()` too. Bytes that you have read from
        `payload` before are not part of the result.
        """
        content = self._content
        if content is None:
            buffer = self._buffer
            if buffer is not None and buffer.iterated != 0:
                raise UsageError(ITERATED, stream=self.stream)
            if limit is None:
                content = await self.payload.read()
            else:
                content = await self._read_up_to(limit)
            self._content = content
        elif limit is not None and len(content) > limit:
            raise BodyTooLargeError(limit)
        return content

    def __aiter__(self) -> "IncomingMessage":
        """Iterate over the pieces of the body as they arrive. They end anywhere, not at lines.

        After `read`, each iteration returns the whole body.
        """
        if self._content is not None:
            self._get_buffer().note_iterated(0)
        return self

    async def __anext__(self) -> bytes:
        buffer = self._get_buffer()
        content = self._content
        if content is None:
            piece = await buffer.read(PIECE)
        else:
            piece = content[buffer.iterated : buffer.iterated + PIECE]
        if not piece:
            raise StopAsyncIteration
        buffer.note_iterated(buffer.iterated + len(piece))
        return piece

    async def text(self, limit: int | None = None, errors: str = "replace") -> str:
        """Return the whole body as text, by the charset of its content-type, or else UTF-8.

        `errors` says what happens to bytes that are not valid, as for `bytes.decode`. Otherwise as
        `read`.
        """
        content = await self.read(limit)
        return content.decode(charset_of(self.header("content-type", "")), errors)

    async def json(self, limit: int | None = None) -> Any:
        """Return the whole body as the value that its JSON means (RFC 8259).

        Raises ValueError for a body that is not JSON, or nested too deeply. Otherwise as `read`.
        """
        content = await self.read(limit)
        try:
            return loads(content)
        except RecursionError:
            pass
        raise ValueError("the JSON is nested too deeply")

    async def _read_up_to(self, limit: int) -> bytes:
        if limit < 0:
            raise ValueError("a limit is not negative")
        announced: i64 = content_length(self.header("content-length", ""))
        if announced > limit and not self._complete:
            raise BodyTooLargeError(limit)
        try:
            await self.payload.readexactly(limit + 1)
        except asyncio.IncompleteReadError as end:
            return end.partial
        raise BodyTooLargeError(limit)


def loads(content: bytes) -> Any:
    """Return the value that JSON means."""
    import json  # slow to import

    return json.loads(content)


def charset_of(content_type: str) -> str:
    """Return the charset parameter of a content-type if it can be used; otherwise UTF-8."""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            found = value.strip().strip("\"'")
            return found if is_charset(found) else "utf-8"
    return "utf-8"


def is_charset(name: str) -> bool:
    """Return whether Python can decode text with this encoding, in linear time."""
    try:
        if codecs.lookup(name).name in NO_CHARSETS:
            return False
        b"a".decode(name)
    except UnicodeDecodeError:
        return True  # a character takes more than one byte
    except (LookupError, ValueError):
        return False  # unknown, or not an encoding of text
    return True
