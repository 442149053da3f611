"""Servers and clients on `zttp` (its core is written in Zig), for both protocols."""

from typing import Any

from benchmarks import wire
from benchmarks.drivers.with_h2 import octets
from benchmarks.lab import Missing, peer
from benchmarks.wire import (
    BODY,
    GRPC_RESPONSE,
    GRPC_TRAILERS,
    MESSAGE,
    PIECE_OF_BODY,
    RESPONSE,
)

SMALL = octets(RESPONSE)
GRPC = octets(GRPC_RESPONSE)
TRAILERS = octets(GRPC_TRAILERS)

#: It advertises and enforces these; there is nothing to set.
MAX_STREAMS = 128


class Server2:
    """HTTP/2: the loop over events."""

    def __init__(self, megabytes: int) -> None:
        self.zttp = peer("zttp")
        self.conn: Any = self.zttp.Connection(self.zttp.SERVER, self.zttp.HTTP2)
        self.conn.initiate_connection()
        self.out: list[bytes] = [self.conn.data_to_send()]
        self.received = 0
        self.megabytes = megabytes

    def feed(self, data: bytes) -> None:
        zttp, conn = self.zttp, self.conn
        conn.receive_data(data)
        while (event := conn.next_event()) is not zttp.NEED_DATA:
            kind = type(event)
            if kind is zttp.Data:
                self.received += len(event.data)
                self.on_data(event.stream_id, event.data)
            elif kind is zttp.Request:
                self.method, self.path, self.headers = event.method, event.target, event.headers
                self.on_head(event.stream_id)
                if event.end_stream:
                    self.on_end(event.stream_id)
            elif kind is zttp.EndOfMessage:
                self.on_end(event.stream_id)
        self.flush()

    def flush(self) -> None:
        data = self.conn.data_to_send()
        if data:
            self.out.append(data)

    def on_head(self, stream: int) -> None: ...

    def on_data(self, stream: int, data: bytes) -> None: ...

    def on_end(self, stream: int) -> None:
        handle = self.conn.stream(stream)
        handle.send_response(200, SMALL)
        handle.send_data(BODY)
        handle.end_message()


class Grpc2(Server2):
    def on_end(self, stream: int) -> None:
        handle = self.conn.stream(stream)
        handle.send_response(200, GRPC)
        handle.send_data(MESSAGE)
        handle.end_message(TRAILERS)


class Echo2(Server2):
    def __init__(self, megabytes: int) -> None:
        super().__init__(megabytes)
        self.streams: dict[int, Any] = {}

    def on_head(self, stream: int) -> None:
        self.streams[stream] = handle = self.conn.stream(stream)
        handle.send_response(200, SMALL[:1])

    def on_data(self, stream: int, data: bytes) -> None:
        self.streams[stream].send_data(data)

    def on_end(self, stream: int) -> None:
        self.streams[stream].end_message()


class Big2(Server2):
    def on_end(self, stream: int) -> None:
        self.handle = self.conn.stream(stream)
        length = str(self.megabytes * wire.PIECE).encode()
        self.handle.send_response(200, [(b"content-length", length)])

    def pump(self) -> None:
        self.megabytes -= 1
        self.handle.send_data(PIECE_OF_BODY)
        if self.megabytes == 0:
            self.handle.end_message()
        self.flush()


SERVERS2 = {"small": Server2, "sink": Server2, "grpc": Grpc2, "echo": Echo2, "big": Big2}


def server2(app: str, megabytes: int) -> Server2:
    return SERVERS2[app](megabytes)


HOST = [(b"host", b"example.com")]
FIELDS2 = {
    "small": HOST + octets(wire.TEN),
    "thirty": HOST + octets(wire.THIRTY),
    "grpc": HOST + octets(wire.GRPC_REQUEST),
    "upload": HOST,
}


class Client2:
    """HTTP/2: one request after the other."""

    def __init__(self, kind: str, megabytes: int) -> None:
        self.zttp = peer("zttp")
        self.conn: Any = self.zttp.Connection(self.zttp.CLIENT, self.zttp.HTTP2)
        self.conn.initiate_connection()
        self.out: list[bytes] = [self.conn.data_to_send()]
        self.received = self.ended = 0
        self.kind = kind
        self.fields = FIELDS2[kind]
        self.megabytes = megabytes

    def request(self) -> None:
        post = self.kind in ("grpc", "upload")
        method = b"POST" if post else b"GET"
        stream = self.conn.send_request(method, b"/page/1", b"2", self.fields)
        if self.kind == "upload":
            self.stream = stream
            return
        if self.kind == "grpc":
            stream.send_data(MESSAGE)
        stream.end_message()
        self.out.append(self.conn.data_to_send())

    def pump(self) -> None:
        self.megabytes -= 1
        self.stream.send_data(PIECE_OF_BODY)
        if self.megabytes == 0:
            self.stream.end_message()
        self.out.append(self.conn.data_to_send())

    def feed(self, data: bytes) -> None:
        zttp, conn = self.zttp, self.conn
        conn.receive_data(data)
        while (event := conn.next_event()) is not zttp.NEED_DATA:
            kind = type(event)
            if kind is zttp.Data:
                self.received += len(event.data)
            elif kind is zttp.Response:
                self.code, self.headers = event.status_code, event.headers
            elif kind is zttp.EndOfMessage:
                self.ended += 1
        out = conn.data_to_send()
        if out:
            self.out.append(out)


def client2(kind: str, megabytes: int) -> Client2:
    return Client2(kind, megabytes)


class Server1:
    """HTTP/1.1: one request after the other."""

    def __init__(self, app: str, megabytes: int) -> None:
        self.zttp = peer("zttp")
        self.conn: Any = self.zttp.Connection(self.zttp.SERVER)
        self.out: list[bytes] = []
        self.received = 0
        self.megabytes = megabytes if app == "big" else 0

    def feed(self, data: bytes) -> None:
        zttp, conn = self.zttp, self.conn
        event = conn.receive_event(data)
        while event is not zttp.NEED_DATA:
            kind = type(event)
            if kind is zttp.Data:
                self.received += len(event.data)
            elif kind is zttp.Request:
                self.method, self.path = event.method, event.target
                # Materialized and lower-case, as the others give them.
                self.headers = event.headers
                if not isinstance(self.headers, list):
                    self.headers = event.headers.to_list(lowercase_names=True)
                if event.end_stream:
                    self.respond()
                    break
            elif kind is zttp.EndOfMessage:
                self.respond()
                break
            event = conn.next_event()

    def respond(self) -> None:
        conn = self.conn
        if self.megabytes:
            length = str(self.megabytes * wire.PIECE).encode()
            conn.send_response(200, [(b"content-length", length)])
            self.out.append(conn.data_to_send())
            return
        conn.send_response(200, SMALL)
        conn.send_data(BODY)
        conn.end_message()
        self.out.append(conn.data_to_send())
        conn.start_next_cycle()

    def pump(self) -> None:
        self.megabytes -= 1
        self.conn.send_data(PIECE_OF_BODY)
        if self.megabytes == 0:
            self.conn.end_message()
        self.out.append(self.conn.data_to_send())


def server1(app: str, megabytes: int) -> Server1:
    return Server1(app, megabytes)


class Client1:
    """HTTP/1.1: one request after the other."""

    def __init__(self, kind: str, megabytes: int) -> None:
        if kind not in FIELDS2:
            raise Missing(f"zttp: no client of kind {kind}")
        self.zttp = peer("zttp")
        self.conn: Any = self.zttp.Connection(self.zttp.CLIENT)
        self.out: list[bytes] = []
        self.received = self.ended = 0
        self.fields = FIELDS2[kind]

    def request(self) -> None:
        conn = self.conn
        conn.send_request(b"GET", b"/page/1", b"1.1", self.fields)
        conn.end_message()
        self.out.append(conn.data_to_send())

    def feed(self, data: bytes) -> None:
        zttp, conn = self.zttp, self.conn
        event = conn.receive_event(data)
        while event is not zttp.NEED_DATA:
            kind = type(event)
            if kind is zttp.Data:
                self.received += len(event.data)
            elif kind is zttp.Response:
                self.code, self.headers = event.status_code, event.headers
                if not isinstance(self.headers, list):
                    self.headers = event.headers.to_list(lowercase_names=True)
            elif kind is zttp.EndOfMessage:
                self.ended += 1
                conn.start_next_cycle()
                break
            event = conn.next_event()


def client1(kind: str, megabytes: int) -> Client1:
    return Client1(kind, megabytes)
