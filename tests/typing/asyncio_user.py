"""A user's program over the asyncio layer, as strictly typed as it can be. Checked, never run.

Uses public names only, with a loop as the first argument and without one. `assert_type` checks the
types.
"""

import asyncio
import io
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from typing import BinaryIO, assert_type

import cno
from cno import (
    Body,
    Channel,
    Client,
    Handler,
    Headers,
    Listener,
    Pool,
    Push,
    Request,
    Response,
    Server,
    Tunnel,
)
from cno.websocket import Options, WebSocket


async def send(client: Client, file: BinaryIO) -> None:
    """Bodies of every kind."""
    for data in (b"data", memoryview(b"data"), file, io.BytesIO(), [b"data"], lines(), None):
        await client.request("POST", "/", [], data)
    response = await client.request("PUT", "/", [], iter([b"data"]))
    await client.request("POST", "/", [], response.payload)


async def lines() -> AsyncIterator[bytes]:
    yield b"one\n"


async def handle(request: Request) -> None:
    """Everything that a handler can look at and answer with."""
    assert_type(request.method, str)
    assert_type(request.path, str)
    assert_type(request.headers, Headers)
    assert_type(request.stream, int)
    assert_type(request.conn, Server)
    assert_type(request.payload, asyncio.StreamReader)
    body = assert_type(await request.payload.read(), bytes)
    assert_type(request.trailers, Headers | None)
    await request.inform(103, [("link", "</style.css>; rel=preload")])
    request.push("GET", "/style.css")
    request.push("GET", "/style.css", [("accept", "text/css")])
    if request.path == "/bytes":
        await request.respond(200, [("content-length", str(len(body)))], body)
    elif request.path == "/view":
        await request.respond(200, [], memoryview(body))
    elif request.path == "/array":
        await request.respond(200, [], bytearray(body))
    elif request.path == "/iterator":
        await request.respond(200, [], lines(), trailers=[("checksum", "0")])
    else:
        channel = assert_type(Channel(1), Channel[bytes])
        await channel.put(b"data")
        channel.close()
        await request.respond(200, [], channel)


async def chat(request: Request) -> None:
    """A WebSocket in both roles, both ways of opening one."""
    url = "wss://cno.test/chat"
    async with await request.accept_websocket(subprotocols=["v1"], origins=[url]) as socket:
        assert_type(socket, WebSocket)
        async for message in socket:
            assert_type(message, str | bytes)
            await socket.send(message)
    async with Pool() as pool, pool.websocket(url, [("x", "y")], options=Options()) as socket:
        assert_type(await socket.ping(), float)
        another = assert_type(await pool.websocket(url, subprotocols=["v1"]), WebSocket)
        await another.close(1000, "done")


async def between(request: Request, pool: Pool) -> None:
    """A proxy tells who has gone."""
    assert_type(request.peer, tuple[str, int] | None)
    response = await pool.request("GET", "https://cno.test/")
    try:
        await request.respond(200, [], response.payload)
    except cno.ConnectionError as error:
        assert_type(error.concerns(request), bool)
        assert_type(error.concerns(response), bool)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(loop, handle), "127.0.0.1", 8000)
    limits = cno.Limits(max_concurrent_streams=10)
    await loop.create_server(lambda: Server(handle, limits=limits), "127.0.0.1", 8001)
    protocol: asyncio.Protocol = Server(handle)
    protocol.eof_received()
    async with server:
        await server.serve_forever()


async def fetch() -> bytes:
    """Everything that a client can do."""
    loop = asyncio.get_running_loop()
    context = ssl.create_default_context()
    client = await cno.connect(loop, "https://cno.test/", ssl_ctx=context, ssl_hostname="cno.test")
    assert_type(client, Client)
    assert_type(await cno.connect("http://cno.test/", force_http2=True), Client)
    assert_type(client.loop, asyncio.AbstractEventLoop)
    assert_type(client.is_http2, bool)
    response = await client.request("POST", "/", [("content-type", "text/plain")], b"data")
    assert_type(response, Response)
    assert_type(response.code, int)
    assert_type(response.headers, Headers)
    assert_type(response.payload, asyncio.StreamReader)
    assert_type(response.stream, int)
    assert_type(response.conn, Client)
    assert_type(response.conn.is_http2, bool)
    async for push in response.pushed:
        assert_type(push, Push)
        assert_type((push.method, push.path, push.headers), tuple[str, str, Headers])
        assert_type(await push.response, Response)
        push.cancel()
    response.reprioritize(1, incremental=True)
    assert_type(await client.ping(), float)
    response.cancel()
    client.close()
    async with await cno.request(loop, "GET", "https://cno.test/", ssl_ctx=context) as answer:
        assert_type(answer.trailers, Headers | None)
    await cno.request(loop, "GET", "http://cno.test/", {"accept": "text/plain"}.items())
    await cno.request("GET", "http://cno.test/", (("a", "b"), ("c", "d")))
    again = await cno.request("PUT", "http://cno.test/", [], lines())
    return await again.payload.read()


async def pooled(context: ssl.SSLContext) -> bytes:
    """Requests to anywhere."""
    limits = cno.Limits(keepalive_timeout=30, ping_interval=10)
    async with cno.Pool(limits=limits) as pool, asyncio.timeout(10):
        assert_type(pool, Pool)
        response = await pool.request("POST", "https://cno.test/?q", [("a", "b")], lines())
        assert_type(response, Response)
        assert_type(pool.connections, int)
    other = Pool(
        context,
        proxy="http://user:password@proxy.test:3128",
        max_connections=None,
        max_per_origin=4,
        retries=0,
        pushes=True,
        settings={"enable_push": None},
    )
    try:
        async with await other.request("GET", "https://cno.test/", trailers=[("a", "b")]) as got:
            return await got.payload.read()
    except (cno.StreamError, cno.ConnectionLostError, cno.ConnectError) as error:
        assert_type(error.retryable, bool)
        return b""
    except cno.ConnectionError:
        raise
    finally:
        other.close()
        await other.wait_closed()
        await other.aclose()


async def tunnels() -> bytes:
    """Byte streams from a client's side."""
    async with await cno.connect("https://cno.test/", proxy="http://proxy.test/") as client:
        try:
            tunnel = assert_type(await client.upgrade("websocket", "/chat"), Tunnel)
        except cno.UpgradeRefused as refused:
            return str(assert_type(refused.response, Response).code).encode()
        except cno.ProxyError as refused:
            return str(assert_type(refused.code, int)).encode()
        async with tunnel:
            await tunnel.write(b"hello")
            assert_type(tunnel.reader, asyncio.StreamReader)
            return await tunnel.read(5)


async def own_connection(loop: asyncio.AbstractEventLoop) -> Client:
    """A client as the protocol of somebody else's transport."""
    _, client = await loop.create_connection(
        lambda: Client(loop, "cno.test", "http", force_http2=True), "127.0.0.1", 8000
    )
    return assert_type(client, Client)


async def places(handler: Handler, sock: socket.socket, context: ssl.SSLContext) -> None:
    """Wherever a server can listen."""
    listener = assert_type(cno.serve(handler, "127.0.0.1", 8000), Listener)
    assert_type(await listener, Listener)
    await cno.serve(handler, port=8000)
    await cno.serve(handler, ["127.0.0.1", "::1"], 0, ssl=context, backlog=10)
    await cno.serve(handler, host=None, port=0, certfile="cert.pem", keyfile="key.pem")
    await cno.serve(handler, sock=sock, limits=cno.Limits(), settings={"max_frame_size": 1 << 15})
    await cno.serve(handler, port=0, proxy_protocol=["10.0.0.0/8", "unix:"])
    async with cno.serve(handler, path="/run/socket", mode=0o660, date=False) as listening:
        assert_type(listening, Listener)


def later(request: Request) -> asyncio.Future[None]:
    return asyncio.ensure_future(handle(request))


async def number(request: Request) -> int:
    await request.respond(204)
    return 204


async def handlers() -> None:
    """Handlers return something to wait for, whatever that gives."""
    handler: Handler
    for handler in (handle, later, number):
        Server(handler)
        await cno.serve(handler, port=0)


async def post(pool: Pool, headers: Headers, body: Body) -> Response:
    """A function of one's own around a request."""
    return await pool.request("POST", "https://cno.test/", headers, body)


async def consume(channel: Channel[str]) -> str:
    together = ""
    async for item in channel:
        together += assert_type(item, str)
    return together


def words() -> Channel[str]:
    channel: Channel[str] = Channel(10)
    return channel


def stacks(loop: asyncio.AbstractEventLoop) -> None:
    loop.add_signal_handler(signal.SIGUSR1, cno.print_stacks)
    cno.print_stacks(io.StringIO())


def versions() -> tuple[str, bool]:
    return (cno.__version__, cno.COMPILED)


async def conveniences(request: cno.Request, response: cno.Response) -> None:
    assert_type(request.header("accept"), str | None)
    assert_type(request.header("accept", "*/*"), str)
    assert_type(response.header_values("set-cookie"), list[str])
    assert_type(request.query, list[tuple[str, str]])
    assert_type(await request.read(limit=1_000), bytes)
    assert_type(await response.text(), str)
    assert_type(response.raise_for_status().code, int)
    async with request.start(200, [("content-type", "text/plain")]) as out:
        await out.write(b"1")
    assert_type(cno.forwardable(request.headers), list[tuple[str, str]])
