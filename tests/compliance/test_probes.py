"""The questions of `probes.py` and `probes_http2.py`, asked over sockets, in clear and over TLS.

An outcome has to come at once: the server under test lingers, and waits for its shutdown, longer
than a test does.
"""

import asyncio
import ssl
from collections.abc import Coroutine
from dataclasses import replace

import pytest
import trustme

import cno
from cno.aio.server.connection import SERVER_LIMITS
from tests import frames as f
from tests.compliance.probes import (
    GENERIC,
    HPACK,
    Acknowledged,
    Alive,
    Answered,
    Closed,
    Ended,
    Outcome,
    Probe,
    Reset,
    Sent,
    Step,
)
from tests.compliance.probes_http2 import FRAMES, FRAMING, MESSAGES

PROBES = {
    "generic": GENERIC,
    "framing": FRAMING,
    "frames": FRAMES,
    "messages": MESSAGES,
    "hpack": HPACK,
}
HOST = "127.0.0.1"
PATIENCE = 10.0
LIMITS = replace(SERVER_LIMITS, linger_timeout=60.0, shutdown_timeout=60.0)


async def handle(request: cno.Request) -> None:
    if request.path == "/hold":
        await asyncio.Event().wait()
    await request.payload.read()
    await request.respond(200, [], b"some content")


class Contexts:
    """TLS of a server, and of the clients that trust it."""

    def __init__(self) -> None:
        authority = trustme.CA()
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(HOST).configure_cert(self.server)
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)
        self.client.set_alpn_protocols(["h2"])


@pytest.fixture(scope="module")
def contexts() -> Contexts:
    return Contexts()


class Examiner:
    """A client by hand, after the handshake of HTTP/2."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.pen = f.FrameFactory()
        self.pings = 0

    async def frame(self) -> f.Frame:
        head = await self.reader.readexactly(9)
        payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
        got = f.Frame(head[3], head[4], int.from_bytes(head[5:], "big") & f.MAX_ID, payload)
        if got.type == f.HEADERS:
            assert dict(self.pen.decode(got.payload))[":status"] == "200"
        return got

    async def until(self, wanted: Sent) -> f.Frame:
        while not wanted.wanted(got := await self.frame()):
            assert got.type != f.GOAWAY, f"GOAWAY({got.code}): {got.payload[8:]!r}"
        return got

    async def begin(self) -> None:
        self.writer.write(f.PREFACE + self.pen.settings())
        first = await self.frame()
        assert (first.type, first.flags) == (f.SETTINGS, 0)
        self.writer.write(self.pen.settings(ack=True))
        await self.until(IS_ACK)

    async def play(self, steps: list[Step]) -> None:
        for step in steps:
            if isinstance(step, Ended):
                await self.until(ends(step.stream))
            elif isinstance(step, Acknowledged):
                await self.until(IS_ACK)
            else:
                self.writer.write(step)

    async def expect(self, outcome: Outcome) -> None:
        if isinstance(outcome, Closed):
            got = await self.frame()
            while got.type != f.GOAWAY:
                assert got.type != f.RST_STREAM, f"RST_STREAM({got.code})"
                got = await self.frame()
            assert got.code == outcome.code, f"GOAWAY({got.code}): {got.payload[8:]!r}"
            rest = await self.reader.read()
            assert not rest, f"behind the GOAWAY: {rest!r}"
            return
        if isinstance(outcome, Answered):
            await self.until(ends(outcome.stream))
        elif isinstance(outcome, Reset):
            got = await self.until(Sent(lambda each: each.type == f.RST_STREAM))
            assert (got.stream, got.code) == outcome, f"RST_STREAM({got.code}) on {got.stream}"
        elif isinstance(outcome, Sent):
            got = f.Frame(-1, 0, 0, b"")
            while not outcome.wanted(got):
                got = await self.frame()
            if got.type == f.GOAWAY:
                return
        else:
            assert isinstance(outcome, Alive)
        self.writer.write(self.pen.ping(b"are you?"))
        await self.until(Sent(lambda each: each.payload == b"are you?"))


IS_ACK = Sent(lambda each: each.type == f.SETTINGS and each.flags == f.ACK)


def ends(stream: int) -> Sent:
    def wanted(frame: f.Frame) -> bool:
        ending = frame.type in (f.HEADERS, f.DATA) and frame.flags & f.END_STREAM
        return bool(ending) and frame.stream == stream

    return Sent(wanted)


async def ask(port: int, secure: ssl.SSLContext | None, probe: Probe) -> str:
    """Play one; what was wrong, or ''."""
    name, steps, outcome = probe
    reader, writer = await asyncio.open_connection(HOST, port, ssl=secure)
    examiner = Examiner(reader, writer)
    try:
        async with asyncio.timeout(PATIENCE):
            await examiner.begin()
            await examiner.play(steps(examiner.pen))
            await examiner.expect(outcome)
    except (AssertionError, asyncio.IncompleteReadError, OSError) as error:
        return f"{name}: {str(error) or type(error).__name__}"
    finally:
        writer.transport.abort()
    return ""


def run(kind: str, coro: Coroutine[None, None, list[str]]) -> list[str]:
    factory = None
    if kind == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(coro)


@pytest.mark.parametrize("section", PROBES)
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_probes(contexts: Contexts, loop: str, tls: bool, section: str) -> None:
    async def main() -> list[str]:
        context = contexts.server if tls else None
        async with cno.serve(handle, HOST, 0, ssl=context, limits=LIMITS) as server:
            port = server.sockets[0].getsockname()[1]
            secure = contexts.client if tls else None
            return await asyncio.gather(*(ask(port, secure, each) for each in PROBES[section]))

    assert not (faults := [fault for fault in run(loop, main()) if fault]), "\n".join(faults)


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_invalid_preface(contexts: Contexts, loop: str, tls: bool) -> None:
    """In clear text it may be a request of HTTP/1.1, and gets the answer of that."""

    async def main() -> list[str]:
        context = contexts.server if tls else None
        async with cno.serve(handle, HOST, 0, ssl=context, limits=LIMITS) as server:
            port = server.sockets[0].getsockname()[1]
            secure = contexts.client if tls else None
            reader, writer = await asyncio.open_connection(HOST, port, ssl=secure)
            writer.write(b"INVALID CONNECTION PREFACE\r\n\r\n")
            async with asyncio.timeout(PATIENCE):
                got = await reader.read()
            writer.transport.abort()
            return [repr(got)] if tls != (b"HTTP/1.1 400 " not in got) else []

    assert run(loop, main()) == []
