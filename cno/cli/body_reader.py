"""Reads the body of a response for `cno get`: decoded, at a limited rate, and counted.

Knows the pieces of a body. Must never know where they go.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final

from cno.aio.client.connection import Response
from cno.cli import exit_codes
from cno.cli.content_coding import CodingError, Decoder
from cno.cli.problems import Problem, reason
from cno.cli.rate_limit import RateLimit
from cno.cli.transfer import Hop

#: Bytes read at a time.
CHUNK: Final = 262_144
#: Bytes of a body that a HAR file has.
MAX_KEPT: Final = 4 << 20


class BodyReader:
    """The body of a response. `read` gives what comes, decoded; b"" at the end.

    Raises Problem, with what was missing if the body is cut short.
    """

    def __init__(
        self, response: Response, hop: Hop, rate: RateLimit | None, decode: bool, keep: bool
    ) -> None:
        self._response = response
        self._hop = hop
        self._rate = rate
        self._keep = bytearray() if keep else None
        self._chunk = CHUNK if rate is None else min(CHUNK, rate.step)
        codings = ",".join(value for name, value in response.headers if name == "content-encoding")
        self.is_decoded = decode and codings.strip().lower() not in ("", "identity")
        self._decoder: Decoder | None = None
        self._codings = codings
        self._decoded: deque[bytes] = deque()
        self._pending: Iterator[bytes] | None = None

    async def read(self, _: int = 0) -> bytes:
        """Return the next piece."""
        if not self.is_decoded:
            return await self._raw()
        try:
            if self._decoder is None:
                self._decoder = Decoder(self._codings)
            while True:
                if self._pending is not None:
                    piece = next(self._pending, None)
                    if piece is not None:
                        return piece
                    self._pending = None
                data = await self._raw()
                if not data:
                    self._decoder.finish()
                    return b""
                self._pending = self._decoder.feed(data)
        except CodingError as error:
            raise Problem(f"{self._hop.fetch.url}: {error}", exit_codes.CODING) from None

    async def _raw(self) -> bytes:
        try:
            data = await self._response.payload.read(self._chunk)
        except OSError as error:
            raise self._cut_short(error) from error
        self._hop.size += len(data)
        if self._keep is not None:
            self._keep += data[: MAX_KEPT - len(self._keep)]
            if not data:
                self._hop.content = bytes(self._keep)
        if data and self._rate is not None:
            await self._rate.passed(len(data))
        return data

    def _cut_short(self, error: OSError) -> Problem:
        """Return the problem of a body that ends early, with what was missing."""
        url, size = self._hop.fetch.url, self._hop.size
        is_http2 = self._response.conn.is_http2
        status = exit_codes.of_exchange(error, is_http2, True)
        if status not in (exit_codes.PARTIAL, exit_codes.STREAM, exit_codes.NOT_RECEIVED):
            return Problem(f"{url}: {reason(error)}", status)
        before, total = self._hop.before, total_of(self._response)
        size += before
        total = None if total is None else before + total
        came = f"{size:,} bytes came"
        if total is not None and total > size:
            came = f"{size:,} of {total:,} bytes came, {total - size:,} are missing"
        return Problem(f"{url}: {reason(error)}: {came}", status)


def total_of(response: Response) -> int | None:
    """Return the size that a response announces for its body."""
    length = next((value for name, value in response.headers if name == "content-length"), "")
    return int(length) if length.isdecimal() and len(length) < 19 else None
