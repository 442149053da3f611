"""Metrics as Prometheus reads them, by its own parser."""

import asyncio
from typing import Any

import pytest

import cno
from cno.prometheus import Metrics
from cno.testing import answer

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families  # a package


def samples(text: str) -> dict[tuple[str, ...], float]:
    """The values by name and labels."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = [value for _, value in sorted(sample.labels.items())]
            found[sample.name, *labels] = sample.value
    return found


async def handle(request: cno.Request) -> None:
    if request.path == "/missing":
        await request.respond(404)
    await request.respond(200, [], b"12345")


async def run_requests(metrics: Metrics) -> None:
    server = cno.serve(handle, "127.0.0.1", 0, trace=metrics.servers, on_response=metrics.count)
    async with server as listener, cno.Pool(force_http2=True, trace=metrics.clients) as pool:
        metrics.watch(listener, pool)
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        for _ in range(3):
            async with pool.request("GET", url) as response:
                await response.read()
        async with pool.request("BREW", url) as response:
            await response.read()
        found = samples((await answer(metrics.handle, "GET", "/metrics")).text())
        assert found["cno_connections_open", "server"] == 1
        assert found["cno_connections_open", "client"] == 1
        assert found["cno_streams_open", "server"] == 0


def test_counts() -> None:
    metrics = Metrics()
    asyncio.run(run_requests(metrics))
    text = asyncio.run(answer(metrics.handle, "GET", "/metrics")).text()
    found = samples(text)
    assert found["cno_responses_total", "200", "GET"] == 3
    assert found["cno_responses_total", "200", "other"] == 1
    assert found["cno_response_bytes_total",] == 20
    assert found["cno_response_seconds_count", "GET"] == 3
    assert found["cno_connections_total", "server"] == 1
    assert found["cno_connections_open", "server"] == 0
    assert found["cno_frames_total", "received", "server", "HEADERS"] == 4
    assert found["cno_frames_total", "sent", "client", "HEADERS"] == 4
    assert found["cno_connection_bytes_total", "sent", "server"] > 100
    assert found["cno_goaways_total", "NO_ERROR", "sent", "client"] == 1


def test_forms() -> None:
    """The text of today, and OpenMetrics for clients that ask for it."""

    async def main() -> None:
        metrics = Metrics()
        plain = await answer(metrics.handle, "GET", "/metrics")
        assert (plain.header("content-type") or "").startswith("text/plain; version=0.0.4")
        accept = [("accept", "application/openmetrics-text; version=1.0.0")]
        modern = await answer(metrics.handle, "GET", "/metrics", accept)
        assert (modern.header("content-type") or "").startswith("application/openmetrics-text")
        assert modern.text().endswith("# EOF\n")
        assert (await answer(metrics.handle, "HEAD", "/metrics")).body == b""
        refused = await answer(metrics.handle, "POST", "/metrics")
        assert (refused.code, refused.header("allow")) == (405, "GET, HEAD")

    asyncio.run(main())


def test_an_asgi_application() -> None:
    metrics = Metrics()
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    asyncio.run(run_through(metrics, scope, receive, send))
    assert sent[0]["status"] == 200
    assert b"cno_connections_open" in sent[1]["body"]


async def run_through(metrics: Metrics, scope: Any, receive: Any, send: Any) -> None:
    await metrics.app(scope, receive, send)


def test_a_registry_of_ones_own() -> None:
    """Other metrics of the program are shown beside ours."""
    from prometheus_client import CollectorRegistry, Gauge

    registry = CollectorRegistry()
    Gauge("mine", "Of the program.", registry=registry).set(7)
    metrics = Metrics(registry)
    text = asyncio.run(answer(metrics.handle, "GET", "/metrics")).text()
    assert samples(text)["mine",] == 7
