"""WebSockets of the blocking client."""

from typing import assert_type

import cno
from cno import sync
from cno.sync.websocket import HandshakeError, Options, WebSocket, WebSocketClosed, connect


def talk(socket: WebSocket) -> float:
    socket.send("text")
    socket.send(b"bytes", timeout=5)
    socket.send(memoryview(b"view"))
    assert_type(socket.receive(timeout=1.5), str | bytes)
    assert_type(socket.close_code, int | None)
    assert_type(socket.subprotocol, str | None)
    for message in socket:
        assert_type(message, str | bytes)
    return socket.ping()


def main(url: str) -> None:
    options = Options(max_message_size=None, ping_interval=10, compression=False)
    with sync.Pool() as pool:
        with pool.websocket(url, subprotocols=["a"], options=options, timeout=5) as socket:
            assert_type(socket, WebSocket)
            talk(socket)
        try:
            pool.websocket(url, [("origin", "https://cno.test")]).close(1001, "bye")
        except sync.UpgradeRefused as error:
            assert_type(error.response, sync.Response)
        except HandshakeError as error:
            assert_type(error.headers, list[tuple[str, str]])
        except WebSocketClosed as closed:
            assert_type(closed.reason, str)
    with sync.connect(url, timeout=cno.Timeout(connect=1)) as client:
        assert_type(connect(client, "/chat", timeout=3), WebSocket)
