"""The load of `benchmarks.websocket`: sends messages over WebSockets and waits for their echoes.

Frames are made once, and answers are counted in bytes, so that the load is far cheaper than any
server. Each connection has one message under way. Knows nothing of the server. Prints how many
echoes came, and the seconds that took.
"""

import argparse
import select
import socket
import time
from typing import Final

HANDSHAKE: Final = (
    b"GET /echo HTTP/1.1\r\nhost: bench\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TEXT, BINARY = 0x81, 0x82
#: Any other than zeros, which a server might find easy.
MASK: Final = bytes((0x12, 0x34, 0x56, 0x78))
PATIENCE: Final = 10.0


def head(opcode: int, size: int, masked: int) -> bytes:
    if size < 126:
        return bytes((opcode, masked | size))
    if size < 65_536:
        return bytes((opcode, masked | 126)) + size.to_bytes(2, "big")
    return bytes((opcode, masked | 127)) + size.to_bytes(8, "big")


class Connection:
    """A WebSocket, and how much of an echo it waits for."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(HANDSHAKE)
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = self.sock.recv(4_096)
            if not piece:
                break
            answer += piece
        if not answer.startswith(b"HTTP/1.1 101 "):
            raise SystemExit(f"not a WebSocket: {answer!r}")
        self.left = 0

    def receive(self) -> int:
        found = len(self.sock.recv(262_144))
        if not found:
            raise SystemExit("the server has closed the connection")
        return found

    def receive_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.sock.recv(size - len(data))
            if not piece:
                raise SystemExit("the server has closed the connection")
            data += piece
        return data


def run(port: int, opcode: int, size: int, connections: int, count: int) -> tuple[int, float]:
    """Echo `count` messages; return how many came back, and in which time."""
    payload = b"x" * size
    masked = bytes(0x78 ^ MASK[at & 3] for at in range(size))
    frame = head(opcode, size, 0x80) + MASK + masked
    echo = head(opcode, size, 0) + payload
    poll = select.epoll()
    found: dict[int, Connection] = {}
    for _ in range(connections):
        made = Connection(port)
        made.sock.sendall(frame)
        if made.receive_exactly(len(echo)) != echo:
            raise SystemExit("that is no echo")
        found[made.sock.fileno()] = made
        poll.register(made.sock, select.EPOLLIN)
    began = time.monotonic()
    for each in found.values():
        each.left = len(echo)
        each.sock.sendall(frame)
    sent, done = connections, 0
    while done < sent:
        ready = poll.poll(PATIENCE)
        if not ready:
            raise SystemExit("the server is silent")
        for descriptor, _ in ready:
            each = found[descriptor]
            each.left -= each.receive()
            if each.left < 0:
                raise SystemExit("an echo is too long")
            if each.left == 0:
                done += 1
                if sent < count:
                    sent += 1
                    each.left = len(echo)
                    each.sock.sendall(frame)
    return done, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--binary", action="store_true")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--count", type=int, default=10_000)
    args = parser.parse_args()
    opcode = BINARY if args.binary else TEXT
    done, seconds = run(args.port, opcode, args.size, args.connections, args.count)
    print(done, seconds)


if __name__ == "__main__":
    main()
