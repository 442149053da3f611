"""Traces, counts and stats of the blocking client."""

import io
import json
from typing import Any

import pytest

import cno
from cno import sync
from cno.trace import Counters, JsonLines, Tap, Trace, Tracer
from tests.aio.lab import HTTP1, HTTP2, HTTP2_TLS, Lab, Wire
from tests.sync.kit import in_threads, serving

WIRES = pytest.mark.parametrize("wire", [HTTP1, HTTP2, HTTP2_TLS], ids=str)


async def echo(request: cno.Request) -> None:
    await request.respond(200, [("x-path", request.path)], await request.payload.read())


@WIRES
def test_a_trace_of_frames(lab: Lab, wire: Wire) -> None:
    file = io.StringIO()
    with serving(lab, wire, echo) as url:
        with sync.Pool(lab.certs.client(), trace=JsonLines(file, title="mine")) as pool:
            for size in (3, 100_000):
                got = pool.request("POST", url, [("cookie", "secret")], bytes(size)).read()
                assert len(got) == size
    head, *events = [json.loads(line) for line in file.getvalue().splitlines()]
    assert head["title"] == "mine"
    protocol = "http2" if wire.http2 else "http1"
    assert {each["group_id"] for each in events} == {"1"}
    assert {each["name"] for each in events} == {
        f"{protocol}:frame_created",
        f"{protocol}:frame_parsed",
    }
    kind = "headers" if wire.http2 else "head"
    sent = [
        each["data"]["frame"]
        for each in events
        if each["name"].endswith("created") and each["data"]["frame"]["frame_type"] == kind
    ]
    assert len(sent) == 2
    assert all({"name": "cookie", "value": "..."} in each["headers"] for each in sent)
    assert not any("problem" in each["data"]["frame"] for each in events)
    bodies = sum(
        each["data"]["length"]
        for each in events
        if each["data"]["frame"]["frame_type"] == "data" and each["name"].endswith("parsed")
    )
    assert bodies == 100_003


@WIRES
def test_counts_and_stats(lab: Lab, wire: Wire) -> None:
    for tracer in (None, Counters()):
        with serving(lab, wire, echo) as url:
            with sync.Pool(lab.certs.client(), trace=tracer) as pool:
                for size in (3, 100_000):
                    pool.request("POST", url, [], bytes(size)).read()
                (found,) = pool.stats()
                assert (found.is_server, found.is_http2) == (False, wire.http2)
                assert (found.phase, found.limit_hit) == ("OPEN", "")
                assert (found.streams_by_us, found.streams_open) == (2, 0)
                assert found.written > 100_003
                assert (found.unsent, found.blocked_streams) == (0, 0)
                assert (found.send_window is not None) == wire.http2
                assert (found.octets_received > 100_003) == (tracer is not None)
                if tracer is not None:
                    assert found.octets_sent == found.written
                    assert tracer.connections == 1
                    assert bool(found.frames_sent) == wire.http2
            assert pool.stats() == []
        if tracer is not None:
            assert tracer.connections == 0
            assert tracer.sent().octets > 100_003


@WIRES
def test_one_connection(lab: Lab, wire: Wire) -> None:
    counters = Counters()
    with serving(lab, wire, echo) as url:
        context = lab.certs.client()
        with sync.connect(url, context, trace=counters) as client:
            assert client.stats().round_trip is None
            assert client.request("POST", "/", [], b"x").read() == b"x"
            if wire.http2:
                seconds = client.ping()
                assert client.stats().round_trip == seconds
            client.shutdown()
            assert client.stats().phase == "CLOSED"
        body = sync.request("POST", url, [], b"x", ssl_ctx=context, trace=counters)
        assert body.read() == b"x"
        body.close()
        assert counters.opened == 2
        assert counters.connections == 0


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_stats_of_what_ends(lab: Lab, wire: Wire) -> None:
    limits = cno.Limits(max_requests_per_connection=1)
    with serving(lab, wire, echo, limits=limits) as url, sync.connect(url) as client:
        client.request("POST", "/", [], b"x").read()
        if wire.http2:
            with pytest.raises(cno.ConnectionError):
                client.request("POST", "/", [], b"x")
            assert client.stats().goaway_code == 0
        assert client.stats().phase in ("CLOSED", "DRAINING")


def test_a_tracer_that_leaves_connections_alone_or_fails(lab: Lab) -> None:
    class Choosy(Tracer):
        def open(self, server: bool, http2: bool | None = None) -> Tap | None:
            if fails:
                raise LookupError("mine")
            return None

    fails = False
    with serving(lab, HTTP2, echo) as url, sync.Pool(trace=Choosy()) as pool:
        assert pool.request("POST", url, [], b"x").read() == b"x"
        pool.close()
    fails = True
    with serving(lab, HTTP2, echo) as url, sync.Pool(trace=Choosy()) as pool:
        for _ in range(2):
            with pytest.raises(LookupError, match="mine"):
                pool.request("POST", url, [], b"x")
        fails = False
        assert pool.request("POST", url, [], b"x").read() == b"x"


def test_threads_share_a_trace(lab: Lab) -> None:
    """Records of one connection come one after the other, and counts are exact."""
    seen: list[Any] = []
    counters = Counters()
    with serving(lab, HTTP1, echo) as url:

        def work(number: int) -> None:
            with sync.connect(url, trace=counters) as client:
                for _ in range(5):
                    assert client.request("POST", "/", [], bytes(number)).read() == bytes(number)
            counters.sent()

        in_threads(10, work)
        with sync.Pool(trace=Trace(seen.append)) as pool:
            in_threads(5, lambda _: pool.request("POST", url, [], b"x").close())
    assert (counters.opened, counters.connections) == (10, 0)
    heads = [each for each in seen if each.type == "HEAD" and each.sent]
    assert len(heads) == 5
    assert {each.connection for each in seen} == set(
        range(1, len({e.connection for e in seen}) + 1)
    )
