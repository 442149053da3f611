"""Each wait for a peer that says nothing, or allows nothing, has an end.

Waits under test are short; nothing is asserted of how long anything took, only of what came of it.
"""

import asyncio

import pytest

import cno
from cno.limits import Limits
from tests import frames as f
from tests.aio.lab import Lab, Peer, by_hand, greet

SHORT = 0.1


async def silent_http2(peer: Peer) -> None:
    """Begins HTTP/2, and then reads only."""
    await greet(peer)
    await peer.rest()


def test_ping(lab: Lab) -> None:
    async def main() -> None:
        async with by_hand(silent_http2) as url:
            limits = Limits(ping_timeout=SHORT)
            async with await cno.connect(url, force_http2=True, limits=limits) as client:
                for _ in range(2):
                    with pytest.raises(TimeoutError, match="PING"):
                        await client.ping()
                with pytest.raises(TimeoutError):
                    await asyncio.gather(client.ping(), client.ping())

    lab.run(main())


def test_late_answers_to_a_ping_are_ignored(lab: Lab) -> None:
    async def main() -> None:
        late = asyncio.Event()

        async def script(peer: Peer) -> None:
            await greet(peer)
            first = await peer.expect(f.PING)
            await late.wait()
            peer.send(peer.pen.ping(first.payload, ack=True))
            second = await peer.expect(f.PING)
            assert second.payload != first.payload
            peer.send(peer.pen.ping(second.payload, ack=True))
            await peer.rest()

        async with by_hand(script) as url:
            limits = Limits(ping_timeout=SHORT)
            async with await cno.connect(url, force_http2=True, limits=limits) as client:
                with pytest.raises(TimeoutError):
                    await client.ping()
                late.set()
                assert await client.ping() >= 0

    lab.run(main())
