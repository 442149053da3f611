"""A thousand requests, each given up at some moment: nobody else notices, and nothing is left."""

import asyncio
import gc
from collections.abc import AsyncIterator
from random import Random

import pytest

from cno import aio
from tests.aio.lab import HTTP1, HTTP1_TLS, HTTP2, HTTP2_TLS, Lab, Wire, until

SMALL = b"x" * 10
LARGE = b"x" * 200_000


class House:
    """A handler that knows how many of it run."""

    def __init__(self) -> None:
        self.running = 0
        self.conns: set[object] = set()

    async def __call__(self, request: aio.Request) -> None:
        self.running += 1
        self.conns.add(request.conn)
        try:
            await asyncio.sleep(0)
            if request.path == "/late":
                await asyncio.sleep(0.001)
                await request.respond(200, [], await request.payload.read())
            elif request.path == "/large":
                await request.respond(200, [], LARGE)
            else:
                await request.respond(200, [], pieces())
        finally:
            self.running -= 1


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(5):
        yield SMALL
        await asyncio.sleep(0)


async def ask(requester: aio.Pool | aio.Client, url: str, chance: Random) -> None:
    """Any kind of request, read to its end or not."""
    path = url + chance.choice(["/late", "/large", "/pieces"])
    if isinstance(requester, aio.Client):
        path = path[len(url) :]
    body: bytes | AsyncIterator[bytes] = chance.choice([b"", SMALL, LARGE])
    if chance.random() < 0.25:
        body = pieces()
    expect = [("expect", "100-continue")] if chance.random() < 0.1 else []
    async with await requester.request("POST", path, expect, body) as response:
        assert response.code == 200
        await response.payload.read(chance.choice([1, -1]))


async def pass_time(chance: Random) -> None:
    """Some turns of the loop, often few, or some time."""
    if chance.random() < 0.3:
        await asyncio.sleep(chance.random() * 0.003)
    for _ in range(chance.choice([0, 1, 1, 2, 3, 5, 8, 13, 21])):
        await asyncio.sleep(0)


async def cancel_many(
    requester: aio.Pool | aio.Client, url: str, count: int, together: int, chance: Random
) -> int:
    """Begin and cancel so many requests; how many were quicker."""
    room = asyncio.Semaphore(together)
    done = 0

    async def one() -> None:
        nonlocal done
        async with room:
            asking = asyncio.ensure_future(ask(requester, url, chance))
            await pass_time(chance)
            asking.cancel()
            try:
                await asking
                done += 1
            except asyncio.CancelledError:
                pass

    await asyncio.gather(*(one() for _ in range(count)))
    return done


def responses() -> int:
    gc.collect()
    return sum(isinstance(each, aio.Response | aio.Request) for each in gc.get_objects())


@pytest.mark.parametrize(
    ("wire", "count"), [(HTTP1, 400), (HTTP2, 1000), (HTTP1_TLS, 60), (HTTP2_TLS, 300)], ids=str
)
def test_cancelled_requests_of_a_pool(lab: Lab, wire: Wire, count: int) -> None:
    async def main() -> None:
        house = House()
        context = lab.certs.client() if wire.tls else None
        if context is not None and not wire.http2:
            context.set_alpn_protocols(["http/1.1"])
        force = wire.http2 and not wire.tls
        before = responses()
        async with lab.serving(wire, house) as url:
            async with aio.Pool(context, force_http2=force, max_per_origin=20) as pool:
                chance = Random(wire.name)
                done = await cancel_many(pool, url, count, 30, chance)
                # On a busy machine, no handshake of TLS may be quick enough.
                assert (0 if wire.tls else 1) <= done < count
                await until(lambda: house.running == 0, "the end of the handlers")
                # As many as ever fit, at once.
                await asyncio.gather(*(ask(pool, url, chance) for _ in range(50)))
                await until(lambda: house.running == 0, "the end of the handlers")
                assert pool.connections <= (1 if wire.http2 else 20)
                if wire.http2:
                    assert len(house.conns) == 1
        house.conns.clear()
        assert responses() <= before

    lab.run(main())


def test_cancelled_requests_of_a_client(lab: Lab) -> None:
    async def main() -> None:
        house = House()
        before = responses()
        async with lab.pair(HTTP2, house) as client:
            chance = Random(2)
            done = await cancel_many(client, "", 1000, 200, chance)
            assert 0 < done < 1000
            await until(lambda: house.running == 0, "the end of the handlers")
            await asyncio.gather(*(ask(client, "", chance) for _ in range(200)))
            assert len(house.conns) == 1
        house.conns.clear()
        assert responses() <= before

    lab.run(main())
