"""Servers and clients on `cno.raw`, as an application would write them: interpreted subclasses.

They have `__slots__`, as the README recommends: Python 3.11 does not learn to read quickly what the
instances of a compiled class's subclass have in a dict, as it does with plain classes.
"""

from typing import ClassVar

import cno.raw
from benchmarks import wire
from benchmarks.wire import (
    BODY,
    GRPC_RESPONSE,
    GRPC_TRAILERS,
    MESSAGE,
    PIECE_OF_BODY,
    RESPONSE,
    Fields,
)
from cno import Limits

LIMITS = Limits(max_concurrent_streams=1000, max_pipelined=1000)


class Small(cno.raw.Connection):
    __slots__ = ("headers", "left", "megabytes", "method", "out", "path", "received", "stream")

    feed = cno.raw.Connection.data_received

    def __init__(self, http2: bool, megabytes: int) -> None:
        super().__init__(True, limits=LIMITS)
        self.out: list[bytes] = []
        self.received = 0
        self.megabytes = megabytes
        self.connection_made(http2)

    def on_writev(self, chunks: list[bytes]) -> None:
        self.out += chunks

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Fields
    ) -> None:
        self.method, self.path, self.headers = method, path, headers

    def on_message_tail(self, stream: int, trailers: Fields | None) -> None:
        self.write_head(stream, 200, "", "", RESPONSE, False)
        self.write_data(stream, BODY, True)


class Sink(Small):
    __slots__ = ()

    def on_message_data(self, stream: int, data: bytes) -> None:
        self.received += len(data)


class Grpc(Sink):
    __slots__ = ()

    def on_message_tail(self, stream: int, trailers: Fields | None) -> None:
        self.write_head(stream, 200, "", "", GRPC_RESPONSE, False)
        self.write_data(stream, MESSAGE, False)
        self.write_tail(stream, GRPC_TRAILERS)


class Echo(Small):
    __slots__ = ()

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Fields
    ) -> None:
        self.write_head(stream, 200, "", "", RESPONSE[:1], False)

    def on_message_data(self, stream: int, data: bytes) -> None:
        self.received += len(data)
        self.write_data(stream, data, False)

    def on_message_tail(self, stream: int, trailers: Fields | None) -> None:
        self.write_data(stream, b"", True)


class Big(Small):
    __slots__ = ()

    def on_message_tail(self, stream: int, trailers: Fields | None) -> None:
        self.stream, self.left = stream, self.megabytes
        length = str(self.megabytes * wire.PIECE)
        self.write_head(stream, 200, "", "", [("content-length", length)], False)

    def pump(self) -> None:
        self.left -= 1
        taken = self.write_data(self.stream, PIECE_OF_BODY, self.left == 0)
        assert taken == wire.PIECE


SERVERS: dict[str, type[Small]] = {
    "small": Small,
    "sink": Sink,
    "grpc": Grpc,
    "echo": Echo,
    "big": Big,
}


def server2(app: str, megabytes: int) -> Small:
    return SERVERS[app](True, megabytes)


def server1(app: str, megabytes: int) -> Small:
    return SERVERS[app](False, megabytes)


class Client(cno.raw.Connection):
    __slots__ = ("code", "ended", "headers", "left", "megabytes", "out", "received", "stream")

    feed = cno.raw.Connection.data_received
    FIELDS: ClassVar[Fields] = [(":scheme", "https"), (":authority", "example.com"), *wire.TEN]

    def __init__(self, http2: bool, megabytes: int) -> None:
        super().__init__(False, limits=LIMITS)
        self.out: list[bytes] = []
        self.received = self.ended = 0
        self.megabytes = megabytes
        self.connection_made(http2)

    def request(self) -> None:
        self.write_head(self.next_stream, 0, "GET", "/page/1", self.FIELDS, True)

    def on_writev(self, chunks: list[bytes]) -> None:
        self.out += chunks

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: Fields
    ) -> None:
        self.code, self.headers = code, headers

    def on_message_data(self, stream: int, data: bytes) -> None:
        self.received += len(data)

    def on_message_tail(self, stream: int, trailers: Fields | None) -> None:
        self.ended += 1


class Thirty(Client):
    __slots__ = ()

    FIELDS: ClassVar[Fields] = [(":scheme", "https"), (":authority", "example.com"), *wire.THIRTY]


class Caller(Client):
    __slots__ = ()

    FIELDS: ClassVar[Fields] = [
        (":scheme", "https"),
        (":authority", "example.com"),
        *wire.GRPC_REQUEST,
    ]

    def request(self) -> None:
        stream = self.next_stream
        self.write_head(stream, 0, "POST", "/page/1", self.FIELDS, False)
        self.write_data(stream, MESSAGE, True)


class Uploader(Client):
    __slots__ = ()

    FIELDS: ClassVar[Fields] = [(":scheme", "https"), (":authority", "example.com")]

    def request(self) -> None:
        self.stream, self.left = self.next_stream, self.megabytes
        length = ("content-length", str(self.megabytes * wire.PIECE))
        self.write_head(self.stream, 0, "POST", "/page/1", [*self.FIELDS, length], False)

    def pump(self) -> None:
        self.left -= 1
        taken = self.write_data(self.stream, PIECE_OF_BODY, self.left == 0)
        assert taken == wire.PIECE


CLIENTS: dict[str, type[Client]] = {
    "small": Client,
    "thirty": Thirty,
    "grpc": Caller,
    "upload": Uploader,
}


def client2(kind: str, megabytes: int) -> Client:
    return CLIENTS[kind](True, megabytes)


def client1(kind: str, megabytes: int) -> Client:
    return CLIENTS[kind](False, megabytes)
