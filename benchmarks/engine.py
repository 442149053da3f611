"""Small GET requests answered in-process: `cno.raw` against `h2`, one connection each.

    python -m benchmarks.engine [--rounds 9] [--requests 2000]

Ten header fields come in, three go out with a body of 13 octets. Both servers get the same octets,
take every event that such a server needs, and give their output away as bytes. Rounds alternate;
"""

import argparse
import statistics
import time
from collections.abc import Callable

import h2.config
import h2.connection
import h2.events
import hpack

import cno
import cno.raw

REQUEST = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "example.com"),
    (":path", "/index.html"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br"),
    ("cookie", "session=0123456789abcdef0123456789abcdef"),
    ("cache-control", "no-cache"),
]
RESPONSE = [("content-type", "text/plain"), ("content-length", "13"), ("server", "bench")]
BODY = b"Hello, World!"

SETTINGS_ACK = b"\0\0\0\x04\x01\0\0\0\0"
WIDE_WINDOW = b"\0\0\x04\x08\0\0\0\0\0" + (1 << 30).to_bytes(4, "big")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0" + SETTINGS_ACK + WIDE_WINDOW


def requests(count: int) -> list[bytes]:
    """One HEADERS frame per request, as one client would send them."""
    encoder = hpack.Encoder()
    result = []
    for number in range(count):
        block = encoder.encode(REQUEST)
        head = len(block).to_bytes(3, "big") + b"\x01\x05" + (1 + 2 * number).to_bytes(4, "big")
        result.append(head + block)
    return result


class Server(cno.raw.Connection):
    """Answers each request when it is complete."""

    def __init__(self) -> None:
        super().__init__(True)
        self.out: list[bytes] = []

    def on_writev(self, chunks: list[bytes]) -> None:
        self.out += chunks

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        self.method, self.path, self.headers = method, path, headers

    def on_message_tail(self, stream: int, trailers: list[tuple[str, str]] | None) -> None:
        self.write_head(stream, 200, "", "", RESPONSE, False)
        self.write_data(stream, BODY, True)


def with_cno(frames: list[bytes]) -> float:
    """Seconds for all requests, and a check that all were answered."""
    server = Server()
    server.connection_made(True)
    server.data_received(PREFACE)
    answered = 0
    started = time.perf_counter()
    for frame in frames:
        server.data_received(frame)
        answered += BODY in server.out[-1]
        server.out.clear()
    spent = time.perf_counter() - started
    assert answered == len(frames)
    return spent


def with_h2(frames: list[bytes]) -> float:
    """The same with h2."""
    config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
    server = h2.connection.H2Connection(config)
    server.initiate_connection()
    server.receive_data(PREFACE)
    server.data_to_send()
    response = [(":status", "200"), *RESPONSE]
    answered = 0
    started = time.perf_counter()
    for frame in frames:
        for event in server.receive_data(frame):
            if isinstance(event, h2.events.StreamEnded):
                assert event.stream_id is not None
                server.send_headers(event.stream_id, response)
                server.send_data(event.stream_id, BODY, end_stream=True)
        answered += BODY in server.data_to_send()
    spent = time.perf_counter() - started
    assert answered == len(frames)
    return spent


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=2_000)
    args = parser.parse_args()
    frames = requests(args.requests)
    peers: list[tuple[str, Callable[[list[bytes]], float]]] = [("cno", with_cno), ("h2", with_h2)]
    rounds: list[list[float]] = []
    for _ in range(args.rounds):
        rounds.append([run(frames) / len(frames) for _, run in peers])
    build = "compiled" if cno.COMPILED else "pure"
    print(f"small requests, HTTP/2, one connection, in-process; cno {cno.__version__} ({build})")
    for at, (name, _) in enumerate(peers):
        spent = sorted(row[at] * 1e6 for row in rounds)
        median = statistics.median(spent)
        print(f"  {name:4} {median:8.2f} us/request  ({spent[0]:.2f} to {spent[-1]:.2f})")
    ratios = sorted(row[1] / row[0] for row in rounds)
    print(f"  h2 / cno: {statistics.median(ratios):.1f}  ({ratios[0]:.1f} to {ratios[-1]:.1f})")


if __name__ == "__main__":
    main()
