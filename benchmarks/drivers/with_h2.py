"""Servers and clients on `h2`, with octets for header fields: its fastest way."""

from typing import Any

from benchmarks import wire
from benchmarks.lab import peer
from benchmarks.wire import (
    BODY,
    GRPC_RESPONSE,
    GRPC_TRAILERS,
    MESSAGE,
    PIECE_OF_BODY,
    RESPONSE,
    Fields,
)

FRAME = 16_384


def octets(fields: Fields) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in fields]


STATUS = [(b":status", b"200")]
SMALL = STATUS + octets(RESPONSE)
GRPC = STATUS + octets(GRPC_RESPONSE)
TRAILERS = octets(GRPC_TRAILERS)


class Connection:
    """The loop over events, for either side."""

    def __init__(self, client: bool, megabytes: int) -> None:
        self.events = peer("h2.events")
        config = peer("h2.config").H2Configuration(client_side=client, header_encoding=None)
        self.conn: Any = peer("h2.connection").H2Connection(config)
        settings = peer("h2.settings")
        wanted = {settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1000}
        self.conn.local_settings = settings.Settings(client=client, initial_values=wanted)
        self.conn.initiate_connection()
        self.out: list[bytes] = []
        self.received = self.ended = 0
        self.megabytes = self.left = megabytes
        self.stream = 0
        self.flush()

    def flush(self) -> None:
        data = self.conn.data_to_send()
        if data:
            self.out.append(data)

    def feed(self, data: bytes) -> None:
        conn, events = self.conn, self.events
        for event in conn.receive_data(data):
            if isinstance(event, events.DataReceived):
                self.received += len(event.data)
                self.on_data(event.stream_id, event.data)
                conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.RequestReceived | events.ResponseReceived):
                self.headers = event.headers
                self.on_head(event.stream_id)
            elif isinstance(event, events.StreamEnded):
                self.on_end(event.stream_id)
        self.flush()

    def on_head(self, stream: int) -> None: ...

    def on_data(self, stream: int, data: bytes) -> None: ...

    def on_end(self, stream: int) -> None:
        self.ended += 1

    def pump(self) -> None:
        """The next piece of a large body; a frame is the most that h2 takes at once."""
        self.left -= 1
        for at in range(0, wire.PIECE, FRAME):
            last = self.left == 0 and at + FRAME >= wire.PIECE
            self.conn.send_data(self.stream, PIECE_OF_BODY[at : at + FRAME], end_stream=last)
        self.flush()


class Small(Connection):
    def on_end(self, stream: int) -> None:
        self.conn.send_headers(stream, SMALL)
        self.conn.send_data(stream, BODY, end_stream=True)


class Grpc(Connection):
    def on_end(self, stream: int) -> None:
        self.conn.send_headers(stream, GRPC)
        self.conn.send_data(stream, MESSAGE)
        self.conn.send_headers(stream, TRAILERS, end_stream=True)


class Echo(Connection):
    def on_head(self, stream: int) -> None:
        self.conn.send_headers(stream, SMALL[:2])

    def on_data(self, stream: int, data: bytes) -> None:
        self.conn.send_data(stream, data)

    def on_end(self, stream: int) -> None:
        self.conn.end_stream(stream)


class Big(Connection):
    def on_end(self, stream: int) -> None:
        length = str(self.megabytes * wire.PIECE).encode()
        self.conn.send_headers(stream, [*STATUS, (b"content-length", length)])
        self.stream, self.left = stream, self.megabytes


SERVERS = {"small": Small, "sink": Small, "grpc": Grpc, "echo": Echo, "big": Big}


def server2(app: str, megabytes: int) -> Connection:
    return SERVERS[app](False, megabytes)


HEAD = [(b":scheme", b"https"), (b":authority", b"example.com"), (b":path", b"/page/1")]
GET = [(b":method", b"GET"), *HEAD, *octets(wire.TEN)]
GET_THIRTY = [(b":method", b"GET"), *HEAD, *octets(wire.THIRTY)]
CALL = [(b":method", b"POST"), *HEAD, *octets(wire.GRPC_REQUEST)]


class Client(Connection):
    FIELDS = GET

    def request(self) -> None:
        self.conn.send_headers(self.conn.get_next_available_stream_id(), self.FIELDS, True)
        self.flush()


class Thirty(Client):
    FIELDS = GET_THIRTY


class Caller(Client):
    def request(self) -> None:
        stream = self.conn.get_next_available_stream_id()
        self.conn.send_headers(stream, CALL)
        self.conn.send_data(stream, MESSAGE, end_stream=True)
        self.flush()


class Uploader(Client):
    def request(self) -> None:
        stream = self.conn.get_next_available_stream_id()
        length = str(self.megabytes * wire.PIECE).encode()
        head = [(b":method", b"POST"), *HEAD, (b"content-length", length)]
        self.conn.send_headers(stream, head)
        self.flush()
        self.stream, self.left = stream, self.megabytes


CLIENTS = {"small": Client, "thirty": Thirty, "grpc": Caller, "upload": Uploader}


def client2(kind: str, megabytes: int) -> Client:
    return CLIENTS[kind](True, megabytes)
