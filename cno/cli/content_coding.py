"""Content codings of responses (`--compressed`): gzip and deflate, and br and zstd by libraries.

Knows the codings (RFC 9110 8.4). Must never know a response. Decoded data comes in pieces, so that
a small response cannot fill the memory.
"""

import zlib
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any, Final

#: Bytes decoded at a time: what one of them can become is held at once.
PIECE: Final = 4_096
#: Codings of one response.
MAX_CODINGS: Final = 4


class CodingError(Exception):
    """The content is not what its coding says, or the coding is unknown."""


@cache
def brotli() -> Any | None:
    """Return a module for br; None if none is installed."""
    return first_of("brotli", "brotlicffi")


@cache
def zstd() -> Any | None:
    """Return a module for zstd; None if none is installed."""
    return first_of("compression.zstd", "backports.zstd", "zstandard")


def first_of(*names: str) -> Any | None:
    """Return the first of these modules that is installed."""
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


def accepted() -> str:
    """Return the value of Accept-Encoding: what can be decoded here."""
    names = ["gzip", "deflate"]
    if brotli() is not None:
        names.append("br")
    if zstd() is not None:
        names.append("zstd")
    return ", ".join(names)


class Decoder:
    """Decodes a body that has these codings (the value of Content-Encoding)."""

    def __init__(self, codings: str) -> None:
        names = [name.strip().lower() for name in codings.split(",")]
        names = [name for name in names if name not in ("", "identity")]
        if len(names) > MAX_CODINGS:
            raise CodingError(f"{len(names)} content codings")
        self._steps = [step_of(name) for name in reversed(names)]

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what a piece of the body decodes to. Raises CodingError."""
        yield from self._through(0, data)

    def _through(self, number: int, data: bytes) -> Iterator[bytes]:
        if number == len(self._steps):
            if data:
                yield data
            return
        for at in range(0, len(data), PIECE):
            try:
                for decoded in self._steps[number].feed(data[at : at + PIECE]):
                    yield from self._through(number + 1, decoded)
            except CodingError:
                raise
            except Exception as error:  # each library has its own
                raise CodingError(f"the content coding is broken: {error}") from None

    def finish(self) -> None:
        """Check that the body was whole. Raises CodingError."""
        if not all(step.is_complete() for step in self._steps):
            raise CodingError("the content coding is broken: its end is missing")


def step_of(name: str) -> "Gzip | Library":
    """Return the decoder of one coding."""
    if name in ("gzip", "x-gzip", "deflate"):
        return Gzip(name == "deflate")
    if name == "br" and (module := brotli()) is not None:
        return Library(module.Decompressor(), lambda each, data: each.process(data))
    if name == "zstd" and (module := zstd()) is not None:
        if module.__name__ == "zstandard":
            made = module.ZstdDecompressor(max_window_size=1 << 23).decompressobj()
        else:
            made = module.ZstdDecompressor()
        return Library(made, lambda each, data: each.decompress(data))
    raise CodingError(f"the content coding {name!r} is unknown here")


class Gzip:
    """gzip and deflate, both with the headers of zlib and without (as some servers send it)."""

    MOST: Final = 1 << 18  # bytes of one piece

    def __init__(self, deflate: bool) -> None:
        self._deflate = deflate
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS if deflate else zlib.MAX_WBITS | 16)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inflater.eof:
                if self._deflate or not data.strip(b"\0"):
                    return
                self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)  # another member
            try:
                decoded = self._inflater.decompress(data, self.MOST)
            except zlib.error:
                if not self._deflate or self._begun:
                    raise
                self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
                decoded = self._inflater.decompress(data, self.MOST)
            self._begun = True
            if decoded:
                yield decoded
            data = self._inflater.unconsumed_tail or self._inflater.unused_data

    def is_complete(self) -> bool:
        return self._inflater.eof or not self._begun


class Library:
    """A coding by another library."""

    def __init__(self, made: Any, decode: Callable[[Any, bytes], bytes]) -> None:
        self._made = made
        self._decode = decode
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._begun = True
        yield self._decode(self._made, data)

    def is_complete(self) -> bool:
        if not self._begun:
            return True
        finished = getattr(self._made, "is_finished", None)
        return bool(finished() if finished is not None else getattr(self._made, "eof", True))
