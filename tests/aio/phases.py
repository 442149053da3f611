"""The phases of a connection's life, and the events that can happen in them.

Functions named `server_*` and `client_*` bring a `World` into a phase, those of `EVENTS` make
something happen to it. Must never know what comes of an event: that is in `lifecycle.txt`.
"""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from cno import aio
from cno.errors import UsageError
from tests import frames as f
from tests.aio.world import LONG, Work, World

Phase: TypeAlias = Callable[[World], Work]
Event: TypeAlias = Callable[[World], Work]

#: More than a connection of HTTP/1.1 buffers.
HUGE = bytes(300_000)

# -- requests and responses ------------------------------------------------------------------------


def request(
    w: World, path: str, method: str = "GET", version: str = "1.1", more: str = ""
) -> bytes:
    if w.http2:
        fields = [(":method", method), (":authority", "a:1")]
        if method != "CONNECT":
            fields += [(":scheme", "http"), (":path", path)]
        end = method == "GET"
        w.stream += 2
        return w.pen.headers(w.stream - 2, fields, end_stream=end)
    target = path if method != "CONNECT" else "a:1"
    return f"{method} {target} HTTP/{version}\r\nhost: a:1\r\n{more}\r\n".encode()


def response(w: World, end: bool = True, more: str = "") -> bytes:
    if w.http2:
        head = w.pen.headers(1, f.RESPONSE)
        return head + w.pen.data(1, b"hello", end)
    if end:
        return f"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n{more}\r\nhello".encode()
    return f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{more}\r\n5\r\nhello\r\n".encode()


def bad(w: World) -> bytes:
    return f.frame(f.DATA, 0, 0, b"x") if w.http2 else b"\x01 garbage\r\n\r\n"


# -- phases of a server ----------------------------------------------------------------------------


async def connecting(w: World) -> None:
    """Nothing has happened."""


async def dropped(w: World) -> None:
    """Closed before it has begun."""
    w.conn.close()


async def new(w: World) -> None:
    """The peer has said nothing."""
    await w.connect()
    if w.http2:
        w.bad = f.PREFACE + w.pen.ping() if w.server else w.pen.ping()


async def server_idle(w: World) -> None:
    await w.greet()
    w.remote.send(request(w, "/now"))


async def server_head(w: World) -> None:
    await w.greet()
    w.remote.on_seen = lambda: None  # no other frame may come in between
    whole = request(w, "/now")
    w.remote.send(whole[:-2])
    w.more = whole[-2:]
    if w.http2:
        w.bad = b"\xff\xff" + bad(w)


async def server_receiving(w: World) -> None:
    await w.greet()
    w.remote.send(request(w, "/read", "POST", more="transfer-encoding: chunked\r\n"))
    if w.http2:
        w.remote.send(w.pen.data(1, b"hello"))
        w.more = w.pen.data(1, b"hello", True)
    else:
        w.remote.send(b"5\r\nhello\r\n")
        w.more = b"0\r\n\r\n"


async def server_answering(w: World) -> None:
    await w.greet()
    w.remote.send(request(w, "/wait"))


async def server_streaming(w: World) -> None:
    await w.greet()
    w.remote.send(request(w, "/stream"))


async def server_until_close(w: World) -> None:
    await w.greet()
    w.remote.send(request(w, "/stream", version="1.0"))


async def server_tunnel(w: World) -> None:
    await w.greet()
    w.remote.send(request(w, "", "CONNECT"))
    w.more = w.pen.data(1, b"octets") if w.http2 else b"octets"


async def end_their_side(w: World) -> None:
    """The peer sends no more through a tunnel."""
    await w.settle()
    if w.http2:
        w.remote.send(w.pen.data(1, b"", True))
        w.more = b""
    else:
        w.remote.end()


async def server_tunnel_in_ended(w: World) -> None:
    await server_tunnel(w)
    await end_their_side(w)


async def server_tunnel_out_ended(w: World) -> None:
    w.end_ours.set_result(None)
    await server_tunnel(w)


async def server_half_closed(w: World) -> None:
    await server_answering(w)
    await w.settle()
    w.remote.end()


async def server_draining(w: World) -> None:
    await server_answering(w)
    await w.settle()
    w.conn.shutdown()


async def server_lingering(w: World) -> None:
    await w.greet()
    w.remote.send(bad(w))


async def server_paused(w: World) -> None:
    """More has come than is buffered."""
    await w.greet()
    w.remote.send(request(w, "/hold", "POST", more="transfer-encoding: chunked\r\n"))
    await w.settle()
    w.remote.send(b"%x\r\n%b\r\n" % (len(HUGE), HUGE))
    w.more = b"0\r\n\r\n"


async def server_closing(w: World) -> None:
    await w.greet()
    w.remote.near.stuck = True
    w.remote.send(request(w, "/big"))
    await w.settle()
    w.conn.close()


async def server_closed(w: World) -> None:
    await server_idle(w)
    await w.settle()
    w.remote.end(True)
    w.remote.near.fail(None)


# -- phases of a client ----------------------------------------------------------------------------


async def client_idle(w: World) -> None:
    await w.greet()
    w.start(w.get())
    await w.settle()
    w.remote.send(response(w))
    w.more = w.pen.ping() if w.http2 else response(w)


async def client_waiting(w: World) -> None:
    await w.greet()
    w.start(w.get())
    w.more = response(w)


async def client_sending(w: World) -> None:
    await w.greet()
    w.start(w.post())
    w.more = response(w)


async def client_reading(w: World) -> None:
    await w.greet()
    w.start(w.get())
    await w.settle()
    w.remote.send(response(w, False))
    w.more = w.pen.data(1, b"end", True) if w.http2 else b"0\r\n\r\n"


async def client_until_close(w: World) -> None:
    await w.greet()
    w.start(w.get())
    await w.settle()
    w.remote.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
    w.more = b"again"


async def client_tunnel(w: World) -> None:
    await w.greet()
    w.start(w.use_tunnel())
    await w.settle()
    w.remote.send(w.pen.headers(1, f.RESPONSE) if w.http2 else b"HTTP/1.1 200 OK\r\n\r\n")
    w.more = w.pen.data(1, b"octets") if w.http2 else b"octets"


async def client_tunnel_in_ended(w: World) -> None:
    await client_tunnel(w)
    await end_their_side(w)


async def client_tunnel_out_ended(w: World) -> None:
    w.end_ours.set_result(None)
    await client_tunnel(w)


async def client_draining(w: World) -> None:
    await client_waiting(w)
    await w.settle()
    w.conn.shutdown()


async def client_last(w: World) -> None:
    """The peer has said that this is the last one."""
    if w.http2:
        await client_waiting(w)
        await w.settle()
        w.remote.send(w.pen.goaway(1))
    else:
        await w.greet()
        w.start(w.get())
        await w.settle()
        w.remote.send(response(w, False, "connection: close\r\n"))
        w.more = b"0\r\n\r\n"


async def client_lingering(w: World) -> None:
    await client_idle(w)
    await w.settle()
    w.remote.send(bad(w))


async def client_paused(w: World) -> None:
    """More has come than is buffered."""
    await w.greet()
    w.start(w.hold())
    await w.settle()
    w.remote.send(response(w, False))
    w.remote.send(b"%x\r\n%b\r\n" % (len(HUGE), HUGE))
    w.more = b"0\r\n\r\n"


async def client_closing(w: World) -> None:
    await w.greet()
    w.remote.near.stuck = True
    w.start(w.post_big())
    await w.settle()
    w.conn.close()


async def client_closed(w: World) -> None:
    await client_idle(w)
    await w.settle()
    w.remote.end(True)
    w.remote.near.fail(None)


# -- events ----------------------------------------------------------------------------------------


async def data(w: World) -> None:
    if w.http2 and not w.answers and w.connected:
        w.greeted()
        return
    w.remote.send(w.more or request(w, "/now"))


async def garbage(w: World) -> None:
    w.remote.send(w.bad or bad(w))


async def eof(w: World) -> None:
    w.remote.end()


async def notify(w: World) -> None:
    w.remote.end(True)


async def lost(w: World) -> None:
    w.remote.near.fail(ConnectionResetError("reset"))


async def vanished(w: World) -> None:
    w.remote.near.fail(None)


async def last(w: World) -> None:
    """The peer says that it sends, or takes, no more than this."""
    if w.http2:
        w.remote.send(w.pen.goaway(0 if w.server else 1))
    elif w.server:
        w.remote.send(request(w, "/now", more="connection: close\r\n"))
    else:
        w.remote.send(response(w, more="connection: close\r\n"))


async def goaway_error(w: World) -> None:
    w.remote.send(w.pen.goaway(1 if not w.server else 0, f.INTERNAL_ERROR))


async def rst(w: World) -> None:
    w.remote.send(w.pen.rst(1))


async def close(w: World) -> None:
    w.conn.close()


async def abort(w: World) -> None:
    w.conn.abort()


async def shutdown(w: World) -> None:
    try:
        w.conn.shutdown()
    except UsageError as error:
        w.told.append(type(error).__name__)


async def made(w: World) -> None:
    await w.connect()


async def finish(w: World) -> None:
    if not w.go.done():
        w.go.set_result(None)


async def fail(w: World) -> None:
    if not w.go.done():
        w.go.set_exception(ZeroDivisionError())


async def cancel(w: World) -> None:
    if isinstance(w.conn, aio.Server):
        w.conn.cancel_handlers()
    elif w.work is not None:
        w.work.cancel()


async def taken(w: World) -> None:
    w.remote.near.take()


async def time(w: World) -> None:
    await asyncio.sleep(LONG)


#: What the peer does, or the network; what is done here.
THERE = (data, garbage, last, goaway_error, rst, eof, notify, lost, vanished)
HERE = (close, abort, shutdown, finish, fail, cancel, taken, time, made)
EVENTS: dict[str, Event] = {event.__name__: event for event in THERE + HERE}
SERVER: dict[str, Phase] = {
    "connecting": connecting,
    "dropped": dropped,
    "new": new,
    "idle": server_idle,
    "head": server_head,
    "receiving": server_receiving,
    "answering": server_answering,
    "streaming": server_streaming,
    "until_close": server_until_close,
    "tunnel": server_tunnel,
    "tunnel_in_ended": server_tunnel_in_ended,
    "tunnel_out_ended": server_tunnel_out_ended,
    "half_closed": server_half_closed,
    "paused": server_paused,
    "draining": server_draining,
    "lingering": server_lingering,
    "closing": server_closing,
    "closed": server_closed,
}
CLIENT: dict[str, Phase] = {
    "connecting": connecting,
    "dropped": dropped,
    "new": new,
    "idle": client_idle,
    "waiting": client_waiting,
    "sending": client_sending,
    "reading": client_reading,
    "until_close": client_until_close,
    "tunnel": client_tunnel,
    "tunnel_in_ended": client_tunnel_in_ended,
    "tunnel_out_ended": client_tunnel_out_ended,
    "draining": client_draining,
    "last": client_last,
    "paused": client_paused,
    "lingering": client_lingering,
    "closing": client_closing,
    "closed": client_closed,
}
