"""Traces and counts of servers and pools, and a look at their connections."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

import cno
from cno.counts import Counts, FrameCounter
from cno.trace import Counters, JsonLines, Several, Tap, Trace, Tracer
from tests import frames as f
from tests.aio.lab import HTTP1, HTTP2, HTTP2_TLS, Lab, Wire, until

WIRES = pytest.mark.parametrize("wire", [HTTP1, HTTP2, HTTP2_TLS], ids=str)


async def echo(request: cno.Request) -> None:
    await request.respond(200, [("x-path", request.path)], await request.payload.read())


async def exchange(lab: Lab, wire: Wire, server: Tracer | None, client: Tracer | None) -> Any:
    """Send two requests between a server and a pool; return their stats meanwhile."""
    files: dict[str, Any] = {}
    if wire.tls:
        files = {"certfile": lab.certs.certfile, "keyfile": lab.certs.keyfile}
    async with cno.serve(echo, "127.0.0.1", 0, trace=server, **files) as listener:
        url = f"{wire.scheme}://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        context = lab.certs.client() if wire.tls else None
        force = wire.http2 and not wire.tls
        async with cno.Pool(context, force_http2=force, trace=client) as pool:
            for size in (3, 100_000):
                async with pool.request("POST", f"{url}/{size}", data=bytes(size)) as response:
                    assert len(await response.read()) == size
            return listener.stats(), pool.stats()


@WIRES
def test_one_connection_is_traced(lab: Lab, wire: Wire) -> None:
    """`cno.connect` and `cno.request` take a trace as a pool does."""

    async def main() -> None:
        counters = Counters()
        async with lab.serving(wire, echo) as url:
            context = lab.certs.client() if wire.tls else None
            force = wire.http2 and not wire.tls
            async with cno.connect(url, context, force_http2=force, trace=counters) as client:
                async with client.request("POST", "/one", data=b"x") as response:
                    assert await response.read() == b"x"
                assert counters.connections == 1
                assert client.stats().octets_sent == counters.sent().octets > 0
            async with cno.request(
                "POST", url, data=b"x", ssl_ctx=context, force_http2=force, trace=counters
            ) as answer:
                assert await answer.read() == b"x"
            await until(lambda: counters.connections == 0)
            assert counters.opened == 2
            frames = counters.received().frames_by_type()
            assert frames.get("HEADERS", 0) == (2 if wire.http2 else 0)

    lab.run(main())


@WIRES
def test_stats(lab: Lab, wire: Wire) -> None:
    """What is known of connections that nobody traces, and counts of those that are."""

    async def main() -> None:
        for tracer in (None, Counters()):
            (server,), (client,) = await exchange(lab, wire, tracer, tracer)
            assert (server.is_server, client.is_server) == (True, False)
            assert server.is_http2 == client.is_http2 == wire.http2
            assert server.phase == client.phase == "OPEN"
            assert server.streams_by_peer == client.streams_by_us == 2
            assert server.streams_open == client.streams_open == 0
            assert server.written > 100_000
            assert client.limit_hit == ""
            if wire.http2:
                assert client.round_trip is not None
                assert client.round_trip > 0
                assert server.send_window is not None
                assert client.receive_window is not None
                assert client.goaway_code is None
                assert all(0 < share < 0.1 for share in client.limits_near.values())
            else:
                assert client.round_trip is client.send_window is client.goaway_code is None
            if tracer is None:
                assert client.octets_sent == 0
                assert client.frames_sent == {}
                continue
            assert client.octets_sent == server.octets_received > 100_000
            assert client.frames_sent == server.frames_received
            assert client.frames_received == server.frames_sent
            if wire.http2:
                assert client.frames_sent["HEADERS"] == 2
                assert client.frames_sent["DATA"] > 2
                assert client.frames_received["SETTINGS"] == 2
            assert client.resets_sent == {}

    lab.run(main())


@pytest.mark.parametrize("http2", [False, True])
def test_stats_of_a_connection(http2: bool) -> None:
    async def main() -> None:
        before = cno.Client(None, "cno.test", "http", force_http2=http2).stats()
        assert (before.phase, before.streams_by_us, before.unsent) == ("CONNECTING", 0, 0)
        async with cno.serve(echo, "127.0.0.1", 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            async with cno.connect(f"http://127.0.0.1:{port}/", force_http2=http2) as client:
                await (await client.request("GET", "/")).read()
                assert client.stats().streams_by_us == 1
            assert client.stats().phase == "CLOSED"
            assert client.stats().number != before.number

    asyncio.run(main())


def test_the_limit_that_ended_it() -> None:
    async def main() -> None:
        limits = cno.Limits(keepalive_timeout=0.02)
        servers: list[cno.Server] = []

        async def handle(request: cno.Request) -> None:
            servers.append(request.conn)
            await request.respond(200)

        async with cno.serve(handle, "127.0.0.1", 0, limits=limits) as listener:
            port = listener.sockets[0].getsockname()[1]
            async with cno.connect(f"http://127.0.0.1:{port}/", force_http2=True) as client:
                await client.request("GET", "/")
                await until(lambda: servers[0].stats().phase == "CLOSED")
                assert client.stats().goaway_code == 0

    asyncio.run(main())


def test_counts_of_many_connections(lab: Lab) -> None:
    """They are there after the connections have gone."""
    counters = Counters()

    async def main() -> None:
        for _ in range(2):
            await exchange(lab, HTTP2, counters, None)
        assert (counters.opened, counters.connections) == (2, 0)
        assert counters.received().frames_by_type()["HEADERS"] == 4
        assert counters.sent().octets > 200_000
        assert counters.received().goaways_by_code() == {"NO_ERROR": 2}

    lab.run(main())


def test_resets_are_counted_by_code(lab: Lab) -> None:
    async def main() -> None:
        counters = Counters()

        async def hang(request: cno.Request) -> None:
            await asyncio.Event().wait()

        async with cno.serve(hang, "127.0.0.1", 0, trace=counters) as listener:
            url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
            async with cno.Pool(force_http2=True) as pool:
                with pytest.raises(TimeoutError):
                    await pool.request("GET", url, timeout=0.05)
                await until(lambda: counters.received().resets)
                assert counters.received().resets_by_code() == {"CANCEL": 1}

    lab.run(main())


@pytest.mark.parametrize("cut", [1, 3, 10, 1000])
def test_frames_cut_anywhere(cut: int) -> None:
    counts = Counts()
    counter = FrameCounter(counts, 5)
    wire = b"12345" + f.frame(4) + f.frame(0, 0, 1, b"data") + f.frame(0x77, 0, 0, b"")
    wire += f.frame(3, 0, 1, (7).to_bytes(4, "big")) + f.frame(3, 0, 3, b"\xff" * 4)
    wire += f.frame(7, 0, 0, (0).to_bytes(4, "big") + (11).to_bytes(4, "big") + b"text")
    for at in range(0, len(wire), cut):
        counter.feed(wire[at : at + cut])
    expected = {"DATA": 1, "RST_STREAM": 2, "SETTINGS": 1, "GOAWAY": 1, "other": 1}
    assert counts.frames_by_type() == expected
    assert counts.resets_by_code() == {"REFUSED_STREAM": 1, "other": 1}
    assert counts.goaways_by_code() == {"ENHANCE_YOUR_CALM": 1}


@WIRES
def test_json_lines(lab: Lab, wire: Wire) -> None:
    server, client = io.StringIO(), io.StringIO()

    async def main() -> None:
        await exchange(lab, wire, JsonLines(server, title="server"), JsonLines(client))

    lab.run(main())
    lines = [json.loads(line) for line in server.getvalue().splitlines()]
    assert lines[0]["qlog_format"] == "NDJSON"
    assert lines[0]["title"] == "server"
    events = lines[1:]
    version = "http2" if wire.http2 else "http1"
    assert {each["name"] for each in events} == {
        f"{version}:frame_created",
        f"{version}:frame_parsed",
    }
    assert {each["group_id"] for each in events} == {"1"}
    assert [each["time"] for each in events] == sorted(each["time"] for each in events)
    assert '"x-path","value":"/3"' in server.getvalue()
    theirs = [json.loads(line) for line in client.getvalue().splitlines()][1:]
    if wire.http2:
        sent = [e["data"]["frame"] for e in theirs if e["name"] == "http2:frame_created"]
        parsed = [e["data"]["frame"] for e in events if e["name"] == "http2:frame_parsed"]
        assert sent == parsed
        assert sent[0]["frame_type"] == "settings"


def test_secrets_are_not_written(lab: Lab) -> None:
    plain, full = io.StringIO(), io.StringIO()

    async def main() -> None:
        tracer = Several(JsonLines(plain), JsonLines(full, secrets=True))
        async with cno.serve(echo, "127.0.0.1", 0, trace=tracer) as listener:
            url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
            async with cno.request("GET", url, [("cookie", "hush")], force_http2=True) as response:
                await response.read()

    lab.run(main())
    assert "hush" not in plain.getvalue()
    assert "hush" in full.getvalue()
    assert plain.getvalue().count("\n") == full.getvalue().count("\n")


def test_samples(lab: Lab) -> None:
    file = io.StringIO()
    tracer = JsonLines(file, sample=0.5)
    # Fewer or more in one of 10 ** 12 runs.
    assert 50 < sum(tracer.open(True, True) is not None for _ in range(200)) < 150
    some = JsonLines(file, wanted=lambda number: number % 2 == 0)
    assert [some.open(True, True) is None for _ in range(4)] == [True, False, True, False]
    with pytest.raises(ValueError, match="sample"):
        JsonLines(file, sample=2.0)

    async def main() -> None:
        (server,), _ = await exchange(lab, HTTP2, JsonLines(file, sample=0.0), None)
        assert server.streams_by_peer == 2

    before = file.getvalue().count("\n")
    lab.run(main())
    assert file.getvalue().count("\n") == before + 1  # the head of the trace


def test_a_file_that_fails(lab: Lab) -> None:
    """The connection goes on without its trace."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            if "frame" in text:
                raise OSError("no space left")
            return len(text)

    async def main() -> None:
        (server,), _ = await exchange(lab, HTTP2, JsonLines(Full()), None)
        assert server.streams_by_peer == 2

    lab.run(main())


def test_files_of_the_disk(lab: Lab, tmp_path: Path) -> None:
    """A traced server sends them by other means."""
    path = tmp_path / "file"
    path.write_bytes(bytes(300_000))
    counters = Counters()

    async def main() -> None:
        async def handle(request: cno.Request) -> None:
            with path.open("rb") as file:
                await request.respond(200, [], file)

        async with cno.serve(handle, "127.0.0.1", 0, trace=counters) as listener:
            url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
            for force in (False, True):
                async with cno.request("GET", url, force_http2=force) as response:
                    assert len(await response.read()) == 300_000

    lab.run(main())


def test_one_of_ones_own(lab: Lab) -> None:
    """A tracer is two small classes."""
    seen: list[str] = []

    class Mine(Tap):
        def received(self, data: bytes | bytearray | memoryview) -> None:
            seen.append("received")

        def closed(self) -> None:
            seen.append("closed")

    class All(Tracer):
        def open(self, server: bool, http2: bool | None = None) -> Tap:
            return Mine()

    async def main() -> None:
        await exchange(lab, HTTP1, Several(All(), Trace(lambda record: None)), None)
        await exchange(lab, HTTP1, Several(), Several(All()))

    lab.run(main())
    assert seen[0] == "received"
    assert seen.count("closed") == 2
