"""Cases of WebSockets over HTTP/1.1. Frames are bytes here too: some break the rules."""

import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from tests.asgi.behaviour.servers import Answer, Server, request

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
FIN, MASKED = 0x80, 0x80
HANDSHAKE: Final = (
    "connection: upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
)
#: Bytes of a message that is beyond the limits of those that have one of 16 MiB.
TOO_BIG: Final = 17 << 20


def head(opcode: int, size: int, masked: int = MASKED) -> bytes:
    """Return the head of a frame, whose mask leaves the payload as it is."""
    mask = bytes(4) if masked else b""
    if size < 126:
        return bytes((FIN | opcode, masked | size)) + mask
    return bytes((FIN | opcode, masked | 127)) + size.to_bytes(8, "big") + mask


def frame(opcode: int, payload: bytes, masked: int = MASKED) -> bytes:
    return head(opcode, len(payload), masked) + payload


def close_frame(code: int | None, reason: str = "") -> bytes:
    payload = b"" if code is None else code.to_bytes(2, "big") + reason.encode()
    return frame(CLOSE, payload)


class Client:
    """The client's end of a WebSocket, after its handshake, whatever has been answered."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.answer = Answer()
        self.answer.more(sock)
        self._data = self.answer.content
        self.closed = self.answer.closed

    def send(self, data: bytes) -> None:
        with suppress(ConnectionError):
            self.sock.sendall(data)

    def next(self) -> tuple[int, bytes] | None:
        """Return the next frame: its opcode, its payload. None if the connection ends first."""
        while True:
            if len(self._data) >= 2:
                size, at = self._data[1], 2
                if size >= 126:
                    end = at + (2 if size == 126 else 8)
                    size, at = int.from_bytes(self._data[at:end], "big"), end
                if len(self._data) >= at + size:
                    opcode, payload = self._data[0] & 0xF, self._data[at : at + size]
                    self._data = self._data[at + size :]
                    return opcode, payload
            try:
                piece = self.sock.recv(65_536)
            except OSError:
                return None
            if not piece:
                return None
            self._data += piece

    def close(self) -> str:
        """Return how the server closes, and answer it."""
        while (found := self.next()) is not None:
            opcode, payload = found
            if opcode == CLOSE:
                self.send(frame(CLOSE, payload))
                return told(payload)
        return "no close frame"


def told(payload: bytes) -> str:
    """Return what a close frame says; 1005 stands for no code. (RFC 6455 7.1.5)"""
    code, reason = int.from_bytes(payload[:2], "big") or 1005, payload[2:].decode()
    return f"{code} ({reason})" if reason else f"{code}"


@contextmanager
def opened(server: Server, name: str, *fields: str) -> Iterator[Client]:
    with server.connect() as sock:
        sock.sendall(request(f"/{name}", *HANDSHAKE, *fields))
        yield Client(sock)


# -- cases -----------------------------------------------------------------------------------------


def scope(key: str) -> Callable[[Server], str]:
    def run(server: Server) -> str:
        fields = ("sec-websocket-protocol: a, b", "sec-websocket-protocol: c")
        with opened(server, "ws-show", *fields) as client:
            client.close()
        return str(server.note("ws-show")[key])

    return run


def accepted(name: str) -> Callable[[Server], str]:
    """What is answered to a handshake that offers the subprotocols a and b."""

    def run(server: Server) -> str:
        with opened(server, name, "sec-websocket-protocol: a, b") as client:
            answer = client.answer
            found = [answer.status, str(answer.field("sec-websocket-protocol"))]
            if more := answer.field("x-more"):
                found.append(f"`x-more: {more}`")
            outcome = answer.outcome()
            if answer.status == "101":
                outcome = ", ".join(found)
                client.close()
        return f"{outcome}; {server.note(name)}"

    return run


def refused(name: str) -> Callable[[Server], str]:
    """What is answered to a handshake that the application does not accept."""

    def run(server: Server) -> str:
        with opened(server, name) as client:
            outcome = client.answer.outcome()
            if client.answer.status == "101":
                outcome = f"101, then {client.close()}"
        return f"{outcome}; {server.note(name)}"

    return run


def closed(name: str, raising: bool = True) -> Callable[[Server], str]:
    """How the server closes an open WebSocket, and what the application gets, if it may get one."""

    def run(server: Server) -> str:
        with opened(server, name) as client:
            outcome = client.close()
        return f"{outcome}; {server.note(name)}" if raising else outcome

    return run


def sending(name: str, data: bytes) -> Callable[[Server], str]:
    """How the server closes what gets these bytes, and what the application is told."""

    def run(server: Server) -> str:
        with opened(server, name) as client:
            client.send(data)
            outcome = client.close()
        return f"{outcome}; {server.note(name)}"

    return run


def too_big(server: Server) -> str:
    with opened(server, "ws-big") as client:
        client.send(head(TEXT, TOO_BIG))
        left = TOO_BIG
        while left and not select.select([client.sock], [], [], 0)[0]:
            client.send(b"x" * min(left, 65_536))
            left -= min(left, 65_536)
        found = client.next()
        if found is None:
            outcome = "no close frame"
        elif found[0] == CLOSE:
            outcome = told(found[1])
        else:
            outcome = f"received, {found[1].decode()} characters"
    return f"{outcome}; {server.note('ws-big')}"


def vanishing(name: str, reset: bool) -> Callable[[Server], str]:
    """The client ends its connection without a close frame."""

    def run(server: Server) -> str:
        with opened(server, name) as client:
            if reset:
                linger = struct.pack("ii", 1, 0)
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return str(server.note(name))

    return run


def after_disconnect(name: str) -> Callable[[Server], str]:
    """What the application gets once it has been told that the client has closed."""

    def run(server: Server) -> str:
        with opened(server, name) as client:
            client.send(close_frame(1000))
            client.close()
        return str(server.note(name) or "waits on")

    return run


def deflate(server: Server) -> str:
    with opened(server, "ws-echo", "sec-websocket-extensions: permessage-deflate") as client:
        return client.answer.field("sec-websocket-extensions") or "not agreed to"


def ping(server: Server) -> str:
    with opened(server, "ws-echo") as client:
        client.send(frame(PING, b"it"))
        return {(PONG, b"it"): "pong"}.get(client.next() or (0, b""), "no pong")


def handshake(*without: str, instead: str | None = None) -> Callable[[Server], str]:
    """What is answered to a handshake that lacks a field, or has another one."""

    def run(server: Server) -> str:
        fields = [each for each in HANDSHAKE if not each.startswith(without)]
        with server.connect() as sock:
            sock.sendall(request("/ws-echo", *fields, *([instead] if instead else ())))
            answer = Client(sock).answer
        more = answer.field("sec-websocket-version")
        return answer.outcome() + (f", `sec-websocket-version: {more}`" if more else "")

    return run


CASES: Final[dict[str, Callable[[Server], str]]] = {
    "Version of the specification": scope("spec"),
    "Extensions of WebSockets": scope("extensions"),
    "`subprotocols` of two fields": scope("subprotocols"),
    "permessage-deflate is offered": deflate,
    "Accept with a subprotocol and a field": accepted("ws-accept"),
    "Accept with a subprotocol that was not offered": accepted("ws-unoffered"),
    "CR LF in the value of a field": refused("ws-splits"),
    "`websocket.http.response` with 401": refused("ws-denial"),
    "The start of it, and no body": refused("ws-halfdenial"),
    "Close before the accept": refused("ws-refuse"),
    "Return before the accept": refused("ws-return"),
    "Exception before the accept": refused("ws-fail"),
    "`websocket.send` before the accept": refused("ws-sendfirst"),
    "Two `websocket.accept`": closed("ws-twice"),
    "`websocket.send` without text and bytes": closed("ws-empty"),
    "`text` that is `bytes`": closed("ws-notext"),
    "Return after the accept": closed("ws-returnopen", raising=False),
    "Exception after the accept": closed("ws-failopen", raising=False),
    "Close with 4001 and a reason": closed("ws-close"),
    "Close without a code": closed("ws-closeplain"),
    "Close with the code 1005": closed("ws-badcode"),
    "`websocket.send` after the close": closed("ws-sendclosed"),
    "Two `websocket.close`": closed("ws-closetwice"),
    "Keys of `websocket.receive`": sending("ws-keys", frame(TEXT, b"x") + close_frame(1000)),
    "A ping": ping,
    "The client closes with 4002 and a reason": sending("ws-close4002", close_frame(4002, "bye")),
    "The client closes without a code": sending("ws-closenone", close_frame(None)),
    "The client ends the connection": vanishing("ws-fin", False),
    "The client resets the connection": vanishing("ws-rst", True),
    "`receive` after the disconnect": after_disconnect("ws-receivegone"),
    "`websocket.send` after the disconnect": after_disconnect("ws-sendgone"),
    "`websocket.close` after the disconnect": after_disconnect("ws-closegone"),
    "A message of 17 MiB": too_big,
    "Text that is not UTF-8": sending("ws-utf8", frame(TEXT, b"\xff")),
    "A frame without a mask": sending("ws-unmasked", frame(TEXT, b"x", 0)),
    "Handshake without a key": handshake("sec-websocket-key"),
    "Handshake of version 8": handshake(
        "sec-websocket-version", instead="sec-websocket-version: 8"
    ),
}
