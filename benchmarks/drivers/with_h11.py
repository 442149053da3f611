"""Servers and clients on `h11`."""

from typing import Any

from benchmarks import wire
from benchmarks.drivers.with_h2 import octets
from benchmarks.lab import peer
from benchmarks.wire import BODY, PIECE_OF_BODY, RESPONSE

SMALL = octets(RESPONSE)
HOST = [(b"host", b"example.com")]
FIELDS = {"small": HOST + octets(wire.TEN), "thirty": HOST + octets(wire.THIRTY)}


class Server:
    def __init__(self, app: str, megabytes: int) -> None:
        self.h11 = peer("h11")
        self.conn: Any = self.h11.Connection(self.h11.SERVER)
        self.out: list[bytes] = []
        self.received = 0
        self.megabytes = megabytes if app == "big" else 0

    def feed(self, data: bytes) -> None:
        h11, conn = self.h11, self.conn
        conn.receive_data(data)
        while (event := conn.next_event()) is not h11.NEED_DATA:
            kind = type(event)
            if kind is h11.Data:
                self.received += len(event.data)
            elif kind is h11.Request:
                self.method, self.path, self.headers = event.method, event.target, event.headers
            elif kind is h11.EndOfMessage:
                self.respond()
                break

    def respond(self) -> None:
        h11, conn = self.h11, self.conn
        if self.megabytes:
            length = str(self.megabytes * wire.PIECE).encode()
            head = h11.Response(status_code=200, headers=[(b"content-length", length)])
            self.out.append(conn.send(head))
            return
        head = conn.send(h11.Response(status_code=200, headers=SMALL))
        body = conn.send(h11.Data(data=BODY))
        self.out.append(head + body + conn.send(h11.EndOfMessage()))
        conn.start_next_cycle()

    def pump(self) -> None:
        h11, conn = self.h11, self.conn
        self.megabytes -= 1
        self.out.append(conn.send(h11.Data(data=PIECE_OF_BODY)))
        if self.megabytes == 0:
            self.out.append(conn.send(h11.EndOfMessage()))


def server1(app: str, megabytes: int) -> Server:
    return Server(app, megabytes)


class Client:
    def __init__(self, kind: str, megabytes: int) -> None:
        self.h11 = peer("h11")
        self.conn: Any = self.h11.Connection(self.h11.CLIENT)
        self.out: list[bytes] = []
        self.received = self.ended = 0
        self.fields = FIELDS[kind]

    def request(self) -> None:
        h11, conn = self.h11, self.conn
        head = h11.Request(method=b"GET", target=b"/page/1", headers=self.fields)
        self.out.append(conn.send(head) + conn.send(h11.EndOfMessage()))

    def feed(self, data: bytes) -> None:
        h11, conn = self.h11, self.conn
        conn.receive_data(data)
        while (event := conn.next_event()) is not h11.NEED_DATA:
            kind = type(event)
            if kind is h11.Data:
                self.received += len(event.data)
            elif kind is h11.Response:
                self.code, self.headers = event.status_code, event.headers
            elif kind is h11.EndOfMessage:
                self.ended += 1
                conn.start_next_cycle()
                break


def client1(kind: str, megabytes: int) -> Client:
    return Client(kind, megabytes)
