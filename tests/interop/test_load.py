"""`cno load` beside h2load and wrk: the same rate of the same server.

The server takes a fixed time for each answer, so that the rate depends on the number of requests
under way, and on how fast a client sends the next one.
"""

import asyncio
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import cno
from tests.cli.commands import Here
from tests.processes import PATIENCE, run

HOST = "127.0.0.1"
#: Seconds that an answer takes.
DELAY = 0.05
#: Requests under way at once, and all of them.
WIDTH, COUNT = 4, 80


@pytest.fixture
def here(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> Here:
    return Here(capsysbinary, tmp_path)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Run the server in a thread."""
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()
    port = 0

    async def handle(request: cno.Request) -> None:
        await asyncio.sleep(DELAY)
        await request.respond(200, [], b"x")

    async def main() -> None:
        nonlocal port
        async with cno.serve(handle, HOST, 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert ready.wait(PATIENCE)
    yield f"http://{HOST}:{port}/"
    loop.call_soon_threadsafe(stop.set)
    thread.join(PATIENCE)
    loop.close()


def ours(here: Here, *args: str) -> float:
    result = here("load", "--json", *args)
    found = json.loads(result.stdout)
    assert result.status == 0 and found["failed"] == 0
    return float(found["rate"])


@pytest.mark.skipif(shutil.which("h2load") is None, reason="there is no h2load")
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_the_rate_of_h2load(here: Here, url: str, version: str) -> None:
    connections, streams = (WIDTH, 1) if version == "--http1.1" else (1, WIDTH)
    counts = ["-n", str(COUNT), "-c", str(connections), "-m", str(streams)]
    rate = ours(here, version, *counts, url)
    more = ["--h1"] if version == "--http1.1" else []
    found = re.search(r"([\d.]+) req/s", run("h2load", *more, *counts, url).text)
    assert found is not None
    assert rate == pytest.approx(float(found[1]), rel=0.15)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="there is no wrk")
def test_the_rate_of_wrk(here: Here, url: str) -> None:
    rate = ours(here, "--http1.1", "-D", "1", "-c", str(WIDTH), url)
    done = run("wrk", "-t", "1", "-c", str(WIDTH), "-d", "1s", url)
    found = re.search(r"Requests/sec: +([\d.]+)", done.text)
    assert found is not None
    assert rate == pytest.approx(float(found[1]), rel=0.15)
