"""Autobahn's suite of WebSockets, in both roles, over HTTP/1.1 and, relayed, over HTTP/2.

`python -m tests.suites autobahn [server|client] [1|2] [CASES...]`, where CASES are patterns such
as 1.* or 12.1.3. It needs a Python 2.7, of pyenv's for instance. Fails for a case that is
neither OK nor INFORMATIONAL.
"""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import cno
from cno import websocket
from cno.websocket.wire import library
from tests.peers import free_port

HOST: Final = "127.0.0.1"
SETTINGS: Final[cno.SettingsDict] = {"enable_connect_protocol": 1}
#: Messages of the suite have up to 16 MiB, and up to 2**17 frames.
OPTIONS: Final = websocket.Options(max_message_size=2**25, max_fragments=2**18)
GOOD: Final = ("OK", "INFORMATIONAL")
#: Fields of the handshake that a relay passes on.
PASSED: Final = ("sec-websocket-version", "sec-websocket-extensions", "sec-websocket-protocol")
PATIENCE: Final = 1_800.0


def run(arguments: list[str], version: str = "") -> int:
    """Run the suite in each role, over each protocol; 0 if all is well, or it cannot be run."""
    python = python2()
    if python is None:
        print("skipped: there is no Python 2.7, which Autobahn's suite needs")
        return 0
    roles = [each for each in arguments if each in ("server", "client")] or ["server", "client"]
    protocols = [each for each in arguments if each in ("1", "2")] or ["1", "2"]
    cases = [a for a in arguments if a not in ("server", "client", "1", "2")] or ["*"]
    with tempfile.TemporaryDirectory(prefix="suite.") as name:
        packages = Path(name, "packages")
        requirement = f"autobahntestsuite=={version}" if version else "autobahntestsuite"
        install = [str(python), "-m", "pip", "install", "--quiet", "--target", str(packages)]
        subprocess.run([*install, requirement], check=True, stderr=subprocess.DEVNULL)
        suite = Suite(python, packages, Path(name), cases)
        return max(suite.run(role, each == "2") for role in roles for each in protocols)


def python2() -> Path | None:
    """Return a Python 2.7 that has pip; None if there is none."""
    versions = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    found = [path / "bin/python2.7" for path in sorted(versions.glob("2.7*"))]
    if named := shutil.which("python2.7"):
        found.append(Path(named))
    for path in found:
        probe = [str(path), "-m", "pip", "--version"]
        with suppress(OSError):
            if subprocess.run(probe, check=False, capture_output=True).returncode == 0:
                return path
    return None


class Suite:
    """The installed suite."""

    def __init__(self, python: Path, packages: Path, folder: Path, cases: list[str]) -> None:
        self._python = python
        self._packages = packages
        self._folder = folder
        self._cases = cases

    def run(self, role: str, http2: bool) -> int:
        """Run the cases; return whether there is a miss. Prints them."""
        name = f"{role}-{'http2' if http2 else 'http1'}"
        work = Path(tempfile.mkdtemp(prefix=name, dir=self._folder))
        asyncio.run((self._serve if role == "server" else self._call)(work, http2))
        (found,) = json.loads((work / "index.json").read_text()).values()
        count: Counter[str] = Counter()
        for case, result in sorted(found.items()):
            behaviors = {result["behavior"], result["behaviorClose"]}
            count[result["behavior"]] += 1
            if not behaviors <= set(GOOD):
                count["missed"] += 1
                print(f"{name}: case {case}: {result['behavior']}, close {result['behaviorClose']}")
        print(f"{name}: {dict(count)}", flush=True)
        return int(count["missed"] > 0 or not found)

    async def _serve(self, work: Path, http2: bool) -> None:
        """Our server, and their client."""
        async with cno.serve(echo, HOST, 0, settings=SETTINGS) as server:
            port = port_of(server)
            async with relayed(port, http2, to_http2=True) as port:
                url = f"ws://{HOST}:{port}"
                servers = [{"agent": "cno", "url": url, "options": {"version": 18}}]
                process = await self._start("fuzzingclient", work, {"servers": servers})
                await asyncio.wait_for(process.wait(), PATIENCE)

    async def _call(self, work: Path, http2: bool) -> None:
        """Our client, and their server."""
        port = free_port()
        process = await self._start("fuzzingserver", work, {"url": f"ws://{HOST}:{port}"})
        try:
            await listening(port)
            async with relayed(port, http2, to_http2=False) as port:
                await asyncio.wait_for(call_all(f"ws://{HOST}:{port}", http2), PATIENCE)
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()

    async def _start(
        self, mode: str, work: Path, more: dict[str, Any]
    ) -> asyncio.subprocess.Process:
        spec = work / "spec.json"
        options = {"outdir": str(work), "cases": self._cases, "exclude-cases": []}
        spec.write_text(json.dumps({**options, "exclude-agent-cases": {}, **more}))
        # A site folder, and no PYTHONPATH: a package of the suite is a namespace's.
        code = f"import site; site.addsitedir({str(self._packages)!r});"
        code += "from autobahntestsuite.wstest import run; run()"
        # No web server beside it, on a fixed port.
        command = [str(self._python), "-c", code, "-m", mode, "-s", str(spec), "-u", "0"]
        with (work / "log").open("wb") as log:
            return await asyncio.create_subprocess_exec(*command, cwd=work, stdout=log, stderr=log)


async def echo(request: cno.Request) -> None:
    """The handler of our server."""
    socket = await request.accept_websocket(options=OPTIONS)
    with suppress(websocket.WebSocketClosed):
        async for message in socket:
            await socket.send(message)


async def call_all(url: str, http2: bool) -> None:
    """Send back what each case sends."""
    async with cno.Pool(force_http2=http2) as pool:
        async with pool.websocket(f"{url}/getCaseCount") as socket:
            count = int(await socket.receive())
        for case in range(1, count + 1):
            with suppress(websocket.WebSocketClosed):
                async with pool.websocket(
                    f"{url}/runCase?case={case}&agent=cno", options=OPTIONS
                ) as socket:
                    async for message in socket:
                        await socket.send(message)
        async with pool.websocket(f"{url}/updateReports?agent=cno") as socket:
            with suppress(websocket.WebSocketClosed):
                await socket.receive()


# -- the relay -------------------------------------------------------------------------------------


@asynccontextmanager
async def relayed(port: int, http2: bool, to_http2: bool) -> AsyncIterator[int]:
    """Return a port that leads to another one, over a stream of HTTP/2 on our side of it."""
    if not http2:
        yield port
        return

    async def relay(request: cno.Request) -> None:
        url = f"http://{HOST}:{port}"
        async with await cno.connect(url, force_http2=to_http2) as client:
            fields = [(n, v) for n, v in request.headers if n in PASSED]
            if not to_http2:
                fields.append(("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="))
            there = await client.upgrade("websocket", request.path, fields)
            fields = [(n, v) for n, v in there.headers if n in PASSED]
            if key := request.header("sec-websocket-key"):
                fields.append(("sec-websocket-accept", str(library().accept_key(key))))
            here = await request.upgrade(fields)
            await asyncio.gather(pump(here, there), pump(there, here))

    async with cno.serve(relay, HOST, 0, settings=SETTINGS) as server:
        yield port_of(server)


async def pump(source: cno.Tunnel, sink: cno.Tunnel) -> None:
    """Pass on bytes, and their end."""
    with suppress(cno.ConnectionError):
        while data := await source.read(65_536):
            await sink.write(data)
        await sink.write_eof()


def port_of(server: cno.Listener) -> int:
    return int(server.sockets[0].getsockname()[1])


async def listening(port: int) -> None:
    """Wait until a port can be connected to."""
    for _ in range(600):
        with suppress(OSError):
            _, writer = await asyncio.open_connection(HOST, port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    raise TimeoutError(f"nothing listens on {port}")
