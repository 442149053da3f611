"""A server on `httptools`, which only parses: what uvicorn adds to it stands here.

It collects the fields, lower-cases their names, finds the path, and formats responses itself. It
has no client, and no checks of what it sends.
"""

from typing import Any

from benchmarks import wire
from benchmarks.lab import Missing, peer
from benchmarks.wire import BODY, PIECE_OF_BODY, RESPONSE

SMALL = [(name.encode(), value.encode()) for name, value in RESPONSE]


class Server:
    def __init__(self, megabytes: int) -> None:
        httptools = peer("httptools")
        self.parser: Any = httptools.HttpRequestParser(self)
        self.parse_url = httptools.parse_url
        self.out: list[bytes] = []
        self.received = 0
        self.megabytes = megabytes
        self.feed = self.parser.feed_data

    def on_message_begin(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.url = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.method = self.parser.get_method()
        self.path = self.parse_url(self.url).path

    def on_body(self, data: bytes) -> None:
        self.received += len(data)

    def on_message_complete(self) -> None:
        fields = SMALL
        if self.megabytes:
            fields = [(b"content-length", str(self.megabytes * wire.PIECE).encode())]
        head = [b"HTTP/1.1 200 OK\r\n"]
        for name, value in fields:
            head += (name, b": ", value, b"\r\n")
        head.append(b"\r\n")
        if not self.megabytes:
            head.append(BODY)
        self.out.append(b"".join(head))

    def pump(self) -> None:
        self.out.append(PIECE_OF_BODY)


def server1(app: str, megabytes: int) -> Server:
    return Server(megabytes if app == "big" else 0)


def client1(kind: str, megabytes: int) -> Server:
    raise Missing("httptools has no client here: it parses, and writes nothing")
