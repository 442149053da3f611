"""Whether an installed package works: imports, chooses its build, serves, gives a request up.

Run as `python .ci/smoke.py compiled|pure` where nothing but the wheel is installed, no test tool
either. Prints one line and exits with 0, or fails with a traceback.
"""

import asyncio
import os
import platform
import subprocess
import sys
import warnings
from importlib.machinery import EXTENSION_SUFFIXES

import cno
from cno import raw

# The preface, empty SETTINGS, and GET https://cno.test/ on stream 1 (HPACK: one literal only).
BLOCK = b"\x82\x87\x84\x01\x08cno.test"
REQUEST = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    + len(BLOCK).to_bytes(3, "big")
    + b"\x01\x05\x00\x00\x00\x01"
    + BLOCK
)


class Hello(raw.Connection):
    """Answers every request with its own path."""

    sent = b""

    def on_writev(self, chunks: list[bytes]) -> None:
        self.sent += b"".join(chunks)

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        self.write_head(stream, 200, "", "", [("content-type", "text/plain")], False)
        self.write_data(stream, f"{method} {path} {dict(headers)[':authority']}".encode(), True)


def serve_one_request() -> None:
    """Over HTTP/2, then over HTTP/1.1, in memory."""
    conn = Hello(True)
    conn.connection_made(True)
    conn.data_received(REQUEST)
    answer = b"GET / cno.test"
    data = len(answer).to_bytes(3, "big") + b"\x00\x01\x00\x00\x00\x01" + answer
    assert conn.sent.endswith(data), conn.sent
    conn = Hello(True)
    conn.connection_made(False)
    conn.data_received(b"GET /one HTTP/1.1\r\nHost: cno.test\r\n\r\n")
    assert conn.sent.startswith(b"HTTP/1.1 200"), conn.sent
    assert b"GET /one cno.test" in conn.sent, conn.sent


async def give_one_request_up() -> None:
    """Its handler is told so, across the compiled coroutine between, and no warning is seen."""
    told: list[str] = []
    begun, ended = asyncio.Event(), asyncio.Event()

    async def handle(request: cno.Request) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except BaseException as error:
            told.append(repr(error))
            raise
        finally:
            ended.set()

    async with asyncio.timeout(30), await cno.serve(handle, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        asking = asyncio.create_task(cno.request("GET", f"http://{host}:{port}/"))
        await begun.wait()
        asking.cancel()
        await ended.wait()
    assert told == ["CancelledError()"], told


def loaded_extensions() -> list[str]:
    """The extensions of ours that this process has loaded, the shared one included."""
    return [
        name
        for name, module in sys.modules.items()
        if name.startswith("cno") and (module.__file__ or "").endswith(tuple(EXTENSION_SUFFIXES))
    ]


def main(expected: str) -> None:
    compiled = expected == "compiled" and os.environ.get("CNO_PURE") is None
    assert cno.COMPILED is compiled, cno.__file__
    assert bool(loaded_extensions()) is compiled, loaded_extensions()
    serve_one_request()
    warnings.simplefilter("error")
    asyncio.run(give_one_request_up())
    command = [sys.executable, "-m", "cno", "--version"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert said == f"cno {cno.__version__} ({'compiled' if compiled else 'pure Python'})", said
    print(f"{said}: serves HTTP/1.1 and HTTP/2 on Python {platform.python_version()}")
    if compiled:
        sources = os.environ | {"CNO_PURE": "1"}
        subprocess.run([sys.executable, *sys.argv], check=True, env=sources)


if __name__ == "__main__":
    main(sys.argv[1])
