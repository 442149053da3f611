"""A forgotten `await`: Python in its development mode warns of it, in both builds."""

import os
import subprocess
import sys

import pytest

#: Handlers, each with a coroutine that nobody awaits.
PROGRAM = """
import asyncio
import cno
import cno.asgi
from cno.testing import answer, connected


async def respond(request):
    request.respond(200)


async def stream(request):
    async with request.start(200) as out:
        out.write(b"x")


async def app(scope, receive, send):
    send({"type": "http.response.start", "status": 200})


async def fine(request):
    assert await request.read() == b"ab"
    await request.respond(200, [], b"hi")


async def main():
    for handler in (respond, stream, cno.asgi.Handler(app)):
        await answer(handler, "GET", "/")
    cno.request("GET", "http://localhost:1/")
    async with cno.Pool() as pool:
        pool.request("GET", "http://localhost:1/")
    found = await answer(fine, "POST", "/", data=b"ab")
    assert (found.code, found.body) == (200, b"hi")
    async with connected(fine) as client, client.request("POST", "/", data=b"ab") as response:
        assert await response.read() == b"hi"
    assert (await asyncio.create_task(wrapped())).code == 200


async def wrapped():
    async with connected(fine) as client:
        return await asyncio.create_task(client.request("POST", "/", data=b"ab"))


asyncio.run(main())
"""

#: The ends of the names: coroutines of the sources have those of the functions that they run.
NEVER_AWAITED = ("respond", "write", "send", "_request")


def run(*arguments: str, **environment: str) -> str:
    """Run the program, and return what it prints to standard error."""
    done = subprocess.run(
        [sys.executable, *arguments, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("switch", ["-X dev", "PYTHONASYNCIODEBUG"])
def test_development_mode_warns(switch: str) -> None:
    printed = run(*switch.split()) if " " in switch else run(**{switch: "1"})
    for name in NEVER_AWAITED:
        assert f"{name}' was never awaited" in printed, name
    assert printed.count("was never awaited") == len(NEVER_AWAITED) + 1  # and `Pool.request`
