"""Each error that a limit on time causes is a TimeoutError, and names the limit.

A server played by hand lets a client wait at one point. All other limits are off.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

import cno
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import HTTP1, HTTP2, Lab, Peer, Wire, by_hand, greet
from tests.aio.test_bounds import OK, PATIENT, SHORT

Script = Callable[[Peer], Coroutine[Any, Any, None]]
Work = Callable[[cno.Client], Awaitable[object]]


async def silent(peer: Peer) -> None:
    await peer.reader.read()


async def deaf(peer: Peer) -> None:
    await asyncio.sleep(60)


async def greets(peer: Peer) -> None:
    await greet(peer)
    await peer.rest()


async def no_ack(peer: Peer) -> None:
    await peer.reader.readexactly(len(f.PREFACE))
    peer.send(peer.pen.settings({}))
    await peer.reader.read()


async def begins_a_head(peer: Peer) -> None:
    await peer.head()
    peer.send(b"HTTP/1.1 200")
    await peer.reader.read()


async def begins_a_body(peer: Peer) -> None:
    await peer.head()
    peer.send(OK[:-1])
    await peer.reader.read()


async def begins_a_frame(peer: Peer) -> None:
    await greet(peer)
    await peer.expect(f.HEADERS)
    peer.send(peer.pen.headers(1, f.RESPONSE)[:-1])
    await peer.reader.read()


async def begins_a_response(peer: Peer) -> None:
    await greet(peer)
    await peer.expect(f.HEADERS)
    peer.send(peer.pen.headers(1, f.RESPONSE))
    await peer.rest()


async def allows_none(peer: Peer) -> None:
    await greet(peer, {f.MAX_CONCURRENT_STREAMS: 0})
    await peer.rest()


async def get(client: cno.Client) -> None:
    await (await client.request("GET", "/")).payload.read()


async def get_in_line(client: cno.Client) -> None:
    """More requests than a client sends before the server has said how many it takes."""
    requests = [asyncio.ensure_future(client.request("GET", "/")) for _ in range(101)]
    await asyncio.wait(requests)
    for each in requests[:-1]:
        assert isinstance(each.exception(), TimeoutError)
    await requests[-1]


async def get_during_shutdown(client: cno.Client) -> None:
    request = asyncio.ensure_future(get(client))
    await asyncio.sleep(0.01)
    client.shutdown()
    await request


async def put(client: cno.Client) -> None:
    await client.request("PUT", "/", [], bytes(1_000_000))


async def put_much(client: cno.Client) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1_000_000)

    await client.request("PUT", "/", [], pieces())


async def get_after_settings(client: cno.Client) -> None:
    for _ in range(100):
        await asyncio.sleep(0.001)
    await client.request("GET", "/")


@dataclass
class Wait:
    """A wait for a server: what is late, and by which limit."""

    wire: Wire
    script: Script
    work: Work
    limit: str
    kind: type[cno.ConnectionError]
    others: dict[str, Any]


LOST = cno.ConnectionTimeoutError
STREAM = cno.StreamTimeoutError
WAITS: dict[str, Wait] = {
    "no response": Wait(HTTP1, silent, get, "response_timeout", STREAM, {}),
    "no response, HTTP/2": Wait(HTTP2, greets, get, "response_timeout", STREAM, {}),
    "head": Wait(HTTP1, begins_a_head, get, "header_timeout", STREAM, {}),
    "frame": Wait(HTTP2, begins_a_frame, get, "header_timeout", STREAM, {}),
    "body": Wait(HTTP1, begins_a_body, get, "body_timeout", STREAM, {}),
    "body, HTTP/2": Wait(HTTP2, begins_a_response, get, "body_timeout", STREAM, {}),
    "SETTINGS": Wait(HTTP2, silent, get, "handshake_timeout", LOST, {}),
    "SETTINGS, in line": Wait(HTTP2, silent, get_in_line, "handshake_timeout", STREAM, {}),
    "acknowledgement": Wait(HTTP2, no_ack, get, "settings_timeout", STREAM, {}),
    "PING": Wait(HTTP2, greets, get, "ping_timeout", LOST, {"ping_interval": SHORT}),
    "window": Wait(HTTP2, greets, put, "write_stall_timeout", STREAM, {}),
    "output": Wait(HTTP1, deaf, put_much, "write_stall_timeout", LOST, {}),
    "no turn": Wait(HTTP2, allows_none, get_after_settings, "write_stall_timeout", STREAM, {}),
    "shutdown": Wait(HTTP1, silent, get_during_shutdown, "shutdown_timeout", LOST, {}),
    "shutdown, HTTP/2": Wait(HTTP2, greets, get_during_shutdown, "shutdown_timeout", LOST, {}),
}


@pytest.mark.parametrize("name", WAITS)
def test_waits_for_a_server(lab: Lab, name: str) -> None:
    wait = WAITS[name]

    async def main() -> None:
        limits = Limits(**{**PATIENT, **wait.others, wait.limit: SHORT})
        async with by_hand(wait.script) as url:
            client = await cno.connect(url, force_http2=wait.wire.http2, limits=limits)
            with pytest.raises(wait.kind) as caught:
                await wait.work(client)
            client.abort()
            await client.wait_closed()
        error = caught.value
        assert isinstance(error, TimeoutError)
        assert error.limit == wait.limit
        assert str(error).endswith(f" (Limits.{wait.limit})")

    lab.run(main())


@pytest.mark.parametrize("how", ["connect", "request", "Pool"])
def test_waits_for_a_connection(lab: Lab, how: str) -> None:
    async def main() -> None:
        limits = Limits(handshake_timeout=SHORT)
        async with by_hand(silent) as url, cno.Pool(limits=limits) as pool:
            secure = url.replace("http:", "https:")
            ways: dict[str, Callable[[], Awaitable[object]]] = {
                "connect": lambda: cno.connect(secure, limits=limits),
                "request": lambda: cno.request("GET", secure, limits=limits),
                "Pool": lambda: pool.request("GET", secure),
            }
            with pytest.raises(cno.ConnectTimeoutError) as caught:
                await ways[how]()
        error = caught.value
        assert isinstance(error, TimeoutError)
        assert error.limit == "handshake_timeout"
        assert str(error).endswith(" (Limits.handshake_timeout)")
        assert error.retryable

    lab.run(main())
