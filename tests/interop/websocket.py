"""WebSocket over a tunnel of ours: what its messages are, by wsproto."""

from wsproto import events
from wsproto.connection import Connection, ConnectionType

import cno

#: What a client's opening handshake says (RFC 6455 4.1); over HTTP/2 the key is left out.
HANDSHAKE = [("sec-websocket-version", "13"), ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")]


async def converse(tunnel: cno.Tunnel) -> None:
    """As a client: say things to a server that repeats them, then good-bye."""
    talk = Connection(ConnectionType.CLIENT)
    for size in (0, 5, 70_000, 500_000):
        await tunnel.write(talk.send(events.BytesMessage(bytes(size))))
        assert await heard(tunnel, talk) == bytes(size)
    await tunnel.write(talk.send(events.CloseConnection(1000)))
    talk.receive_data(await tunnel.read(65_536))
    (end,) = talk.events()
    assert isinstance(end, events.CloseConnection) and end.code == 1000


async def heard(tunnel: cno.Tunnel, talk: Connection) -> bytes:
    """The next message."""
    whole = b""
    while True:
        talk.receive_data(await tunnel.read(65_536) or None)
        for event in talk.events():
            assert isinstance(event, events.BytesMessage)
            whole += event.data
            if event.message_finished:
                return whole
