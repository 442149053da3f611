"""The `websockets` package, as far as it is used: masks, and what is agreed on in a handshake.

Imported when it is first needed, so that it need not be there to build or to import `cno`.
"""

import zlib
from importlib import import_module
from typing import Any, Final

from mypy_extensions import i64

from cno.websocket.options import Options

DEFLATE: Final = "permessage-deflate"

#: zlib's memory for a compressor: 16 KiB here, where the default is 128 KiB.
MEM_LEVEL: Final = 5


class Library:
    """The names that are used of the package."""

    def __init__(self) -> None:
        frames: Any = import_module("websockets.frames")
        deflate: Any = import_module("websockets.extensions.permessage_deflate")
        headers: Any = import_module("websockets.headers")
        exceptions: Any = import_module("websockets.exceptions")
        utils: Any = import_module("websockets.utils")
        self.apply_mask: Any = frames.apply_mask  # of the extension in C, where it was built
        self.ServerDeflate: Any = deflate.ServerPerMessageDeflateFactory
        self.ClientDeflate: Any = deflate.ClientPerMessageDeflateFactory
        self.parse_extension: Any = headers.parse_extension
        self.build_extension: Any = headers.build_extension
        self.accept_key: Any = utils.accept_key
        self.InvalidHandshake: Any = exceptions.InvalidHandshake


_library: Final[list[Library]] = []


def library() -> Library:
    """Return the names that are used of the `websockets` package. Raises ImportError without it."""
    if not _library:
        try:
            _library.append(Library())
        except ImportError as error:
            raise ImportError(
                "WebSockets need the websockets package: pip install 'cno[ws]'"
            ) from error
    return _library[0]


class Deflate:
    """Compression that both ends have agreed on (RFC 7692). `agreed` is the package's extension."""

    def __init__(self, agreed: Any) -> None:
        self._remote_bits: i64 = agreed.remote_max_window_bits
        self._local_bits: i64 = agreed.local_max_window_bits
        self._remote_resets = bool(agreed.remote_no_context_takeover)
        self._local_resets = bool(agreed.local_no_context_takeover)
        self._inflater: Any = None
        self._deflater: Any = None

    def inflater(self) -> Any:
        """Return what inflates the next message."""
        if self._inflater is None or self._remote_resets:
            self._inflater = zlib.decompressobj(wbits=-int(self._remote_bits))
        return self._inflater

    def compress(self, data: bytes) -> bytes:
        """Return a message, compressed."""
        if self._deflater is None or self._local_resets:
            self._deflater = zlib.compressobj(wbits=-int(self._local_bits), memLevel=MEM_LEVEL)
        packed: bytes = self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
        # > Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end.   (RFC 7692 7.2.1)
        return packed[:-4]


def agree(offers: list[str], options: Options) -> tuple[str, Deflate | None]:
    """As a server, take the first offer of compression that we can: the value to answer with
    ('': none), and the compression. Raises ValueError for a malformed field. (RFC 7692 5)"""
    if not options.compression or not offers:
        return "", None
    found = library()
    factory = found.ServerDeflate(server_max_window_bits=12, client_max_window_bits=12)
    for offer in offers:
        try:
            parsed: list[Any] = found.parse_extension(offer)
        except found.InvalidHandshake as error:
            raise ValueError(f"sec-websocket-extensions: {error}") from error
        for name, parameters in parsed:
            if name == DEFLATE:
                try:
                    agreed, extension = factory.process_request_params(parameters, [])
                except found.InvalidHandshake:
                    continue  # another offer may do
                return str(found.build_extension([(name, agreed)])), Deflate(extension)
    return "", None


def offer() -> str:
    """As a client, return the value of a field that offers compression. (RFC 7692 5)"""
    found = library()
    factory = found.ClientDeflate(client_max_window_bits=True)
    return str(found.build_extension([(DEFLATE, factory.get_request_params())]))


def take_agreed(answers: list[str]) -> Deflate | None:
    """As a client, return the compression that a server agreed to. Raises ValueError for what was
    not offered. (RFC 6455 4.1, RFC 7692 5)"""
    found = library()
    factory = found.ClientDeflate(client_max_window_bits=True)
    extensions: list[Any] = []
    for answer in answers:
        try:
            parsed: list[Any] = found.parse_extension(answer)
            for name, parameters in parsed:
                if name != DEFLATE:
                    raise ValueError(f"sec-websocket-extensions: {name} was not offered")
                extensions.append(factory.process_response_params(parameters, extensions))
        except found.InvalidHandshake as error:
            raise ValueError(f"sec-websocket-extensions: {error}") from error
    return Deflate(extensions[0]) if extensions else None
