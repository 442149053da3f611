"""Where a handler or a request hangs can be seen, in both builds."""

import asyncio
import io
import re
from collections.abc import AsyncIterator

import pytest

import cno
from tests.aio.lab import HTTP1, HTTP2, Lab, Wire


def stacks() -> dict[str, str]:
    """What `print_stacks` prints, by task."""
    file = io.StringIO()
    cno.print_stacks(file)
    found = re.findall(r"^Task '(.+)':\n((?:  .*\n)*)", file.getvalue(), re.MULTILINE)
    return dict(found)


async def for_ever() -> None:
    await asyncio.Event().wait()


async def letters() -> AsyncIterator[bytes]:
    yield b"a"
    await for_ever()


async def handle(request: cno.Request) -> None:
    if request.path == "/wait":
        await for_ever()
    else:
        await request.respond(200, [], letters())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_a_hung_handler_is_found(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        async with lab.pair(wire, handle) as client:
            asked = asyncio.create_task(client.request("GET", "/wait"), name="asked")
            await asyncio.sleep(0.05)
            found = stacks()
            assert re.search(r"in handle\n.*\n?.*in for_ever\n", found["cno.Server"], re.DOTALL)
            assert found["cno.Server"].rstrip().endswith("fut")  # of asyncio.Event.wait
            assert re.search(r"\bsend\b", found["asked"])
            asked.cancel()

    lab.run(main())


def test_a_body_that_does_not_come_is_found(lab: Lab) -> None:
    async def main() -> None:
        async with lab.pair(HTTP2, handle) as client:
            response = await client.request("GET", "/")
            assert await response.payload.readexactly(1) == b"a"
            await asyncio.sleep(0.05)
            found = stacks()["cno.Server"]
            assert re.search(r"in handle\n.*in letters\n.*in for_ever\n", found, re.DOTALL)
            response.cancel()

    lab.run(main())


def test_what_has_been_awaited_before_is_left_out(lab: Lab) -> None:
    async def before() -> None:
        await asyncio.sleep(0)

    async def handle(request: cno.Request) -> None:
        await before()
        await request.payload.read()

    async def main() -> None:
        async with lab.pair(HTTP2, handle) as client:
            body: cno.Channel[bytes] = cno.Channel()
            asked = asyncio.create_task(client.request("POST", "/", [], body))
            await asyncio.sleep(0.05)
            found = stacks()["cno.Server"]
            assert "in handle\n" in found
            assert "in before\n" not in found
            asked.cancel()
            body.close()

    lab.run(main())


def test_the_task_that_prints(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        cno.print_stacks()

    asyncio.run(main())
    assert "in main\n    cno.print_stacks()\n" in capsys.readouterr().err
    with pytest.raises(RuntimeError):
        cno.print_stacks()
