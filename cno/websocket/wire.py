"""The `websockets` package, as far as it is used: frames and their compression, without I/O.

Imported when it is first needed, so that it need not be there to build or to import `cno`.
"""

from importlib import import_module
from typing import Any, Final

from cno.websocket.options import Options

DEFLATE: Final = "permessage-deflate"


class Library:
    """The names that are used of the package. `TEXT` and similar ones are its opcodes."""

    def __init__(self) -> None:
        frames: Any = import_module("websockets.frames")
        protocol: Any = import_module("websockets.protocol")
        deflate: Any = import_module("websockets.extensions.permessage_deflate")
        headers: Any = import_module("websockets.headers")
        exceptions: Any = import_module("websockets.exceptions")
        utils: Any = import_module("websockets.utils")
        self.TEXT: Any = frames.Opcode.TEXT
        self.BINARY: Any = frames.Opcode.BINARY
        self.CONT: Any = frames.Opcode.CONT
        self.PONG: Any = frames.Opcode.PONG
        self.Protocol: Any = protocol.Protocol
        self.SERVER: Any = protocol.Side.SERVER
        self.CLIENT: Any = protocol.Side.CLIENT
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


def make_protocol(client: bool, options: Options, extensions: list[Any]) -> Any:
    """Return an open connection of the package: it takes bytes and gives frames."""
    found = library()
    side = found.CLIENT if client else found.SERVER
    protocol = found.Protocol(side, max_size=options.max_message_size, logger=options.logger)
    protocol.extensions = extensions
    return protocol


def agree(offers: list[str], options: Options) -> tuple[str, list[Any]]:
    """As a server, take the first offer of compression that we can: the value to answer with
    ('': none), and the extensions. Raises ValueError for a malformed field. (RFC 7692 5)"""
    if not options.compression or not offers:
        return "", []
    found = library()
    factory = found.ServerDeflate(
        server_max_window_bits=12, client_max_window_bits=12, compress_settings={"memLevel": 5}
    )
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
                return str(found.build_extension([(name, agreed)])), [extension]
    return "", []


def offer() -> str:
    """As a client, return the value of a field that offers compression. (RFC 7692 5)"""
    found = library()
    factory = found.ClientDeflate(client_max_window_bits=True)
    return str(found.build_extension([(DEFLATE, factory.get_request_params())]))


def take_agreed(answers: list[str]) -> list[Any]:
    """As a client, return the extensions that a server agreed to. Raises ValueError for those that
    were not offered. (RFC 6455 4.1, RFC 7692 5)"""
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
    return extensions
