"""Many timeouts at once: they share timers, and each still ends its own request in time."""

import asyncio
from typing import Any

from cno import aio
from tests.adapters.kit import Kit
from tests.aio.lab import HTTP2, Lab, hello


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts the timers that are started."""

    timers = 0

    def call_at(  # type: ignore[override]  # with fewer types
        self, when: float, callback: Any, *args: Any, **options: Any
    ) -> Any:
        self.timers += 1
        return super().call_at(when, callback, *args, **options)


async def answer_some(request: aio.Request) -> None:
    """Never answer `/never`."""
    if request.path == "/never":
        await asyncio.sleep(20)
    await request.respond(200, [], b"fine")


def limits(read: float) -> dict[str, Any]:
    return {"timeout": {"connect": 5.0, "read": read, "write": 5.0, "pool": 5.0}}


def test_requests_share_timers(kit: Kit, lab: Lab) -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CountingLoop)
        async with lab.serving(HTTP2, hello) as url, kit.client(lab, HTTP2) as client:
            await client.get(url)
            before = loop.timers
            for _ in range(10):
                await asyncio.gather(*(client.get(url) for _ in range(20)))
            return loop.timers - before

    assert Lab(CountingLoop, lab.certs).run(main()) < 100


def test_each_ends_at_its_own_time(kit: Kit, lab: Lab) -> None:
    """More intervals than are kept when they are not used; some requests of each are answered."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with lab.serving(HTTP2, answer_some) as url, kit.client(lab, HTTP2) as client:
            await client.get(url)

            async def late(read: float) -> float:
                began = loop.time()
                try:
                    await client.get(url + "/never", extensions=limits(read))
                except kit.httpx.ReadTimeout as error:
                    assert f"for {read:g} s" in str(error)
                    return loop.time() - began - read
                raise AssertionError("it was answered")

            async def in_time(read: float) -> None:
                response = await client.get(url, extensions=limits(read))
                assert response.text == "fine"

            reads = [0.3 + at / 1000 for at in range(90)]
            found, _ = await asyncio.gather(
                asyncio.gather(*(late(read) for read in reads)),
                asyncio.gather(*(in_time(read + 5) for read in reads)),
            )
            # Never early, but for the resolution of uvloop's clock.
            assert all(each > -0.002 for each in found)
            assert max(found) < 3

    lab.run(main())


def test_one_deadline_ends_among_many(kit: Kit, lab: Lab) -> None:
    """Requests that are answered do not put off the timeout of one that is not."""

    async def main() -> None:
        async with lab.serving(HTTP2, answer_some) as url, kit.client(lab, HTTP2) as client:
            late = asyncio.ensure_future(client.get(url + "/never", extensions=limits(0.1)))
            answered = 0
            while not late.done():
                response = await client.get(url, extensions=limits(0.1))
                answered += response.status_code == 200
            try:
                await late
            except kit.httpx.ReadTimeout:
                assert answered > 1
                return
            raise AssertionError("it was answered")

    lab.run(main())
