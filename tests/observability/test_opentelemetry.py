"""OpenTelemetry's instrumentations see the same with our server and transport as with others.

The same application under uvicorn, and the same requests by httpx's own transport, are the oracle.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

import cno.httpx
from cno.asgi import Handler
from cno.uvicorn import Protocol

pytest.importorskip("opentelemetry.instrumentation.asgi")
pytest.importorskip("opentelemetry.instrumentation.httpx")
pytest.importorskip("uvicorn")

import uvicorn  # a package that need not be there
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter,
)

#: Attributes that differ from run to run.
OF_THE_RUN = ("net.peer.port", "client.port", "net.host.port", "server.port", "http.host")


class Spans:
    """A tracer provider that keeps its spans."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def told(self, port: int) -> list[Any]:
        """The spans by name, kind, status and attributes, without what differs between runs."""
        found = []
        for span in self._exporter.get_finished_spans():
            attributes = dict(span.attributes or {})
            for name in OF_THE_RUN:
                if name in attributes:
                    attributes[name] = "..."
            text = json.dumps(attributes, sort_keys=True, default=str)
            text = text.replace(f":{port}", ":PORT")
            found.append((span.name, span.kind.name, span.status.status_code.name, text))
        return sorted(found)

    def traces(self) -> set[int]:
        return {span.context.trace_id for span in self._exporter.get_finished_spans()}


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    code = {"/missing": 404, "/broken": 500}.get(scope["path"], 200)
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"4")]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": b"bo", "more_body": True})
    await send({"type": "http.response.body", "body": b"dy"})


@asynccontextmanager
async def under_uvicorn(application: Any, protocol: Any) -> AsyncIterator[int]:
    config = uvicorn.Config(application, port=0, http=protocol, log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def under_ours(application: Any) -> AsyncIterator[int]:
    async with Handler(application) as handler, cno.serve(handler, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def ask(port: int, transport: Any) -> None:
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(transport=transport, headers={"user-agent": "test"}) as client:
        for method, path in (("GET", "/a?b=c"), ("POST", "/missing"), ("GET", "/broken")):
            response = await client.request(method, url + path, content=b"1" * (method == "POST"))
            assert response.text == "body"


async def of_server(name: str) -> list[Any]:
    """The spans of an application under a server."""
    spans = Spans()
    application = OpenTelemetryMiddleware(app, tracer_provider=spans.provider)
    servers = {
        "uvicorn": lambda: under_uvicorn(application, "h11"),
        "ours in uvicorn": lambda: under_uvicorn(application, Protocol),
        "ours": lambda: under_ours(application),
    }
    async with servers[name]() as port:
        await ask(port, httpx.AsyncHTTPTransport())
    return spans.told(port)


@pytest.mark.parametrize("name", ["ours", "ours in uvicorn"])
def test_servers(name: str) -> None:
    expected = asyncio.run(of_server("uvicorn"))
    assert len(expected) > 6
    assert asyncio.run(of_server(name)) == expected


async def of_transport(ours: bool, http2: bool) -> tuple[list[Any], set[int], set[int]]:
    """The spans of a client, and the ids of the traces of both sides."""
    client, server = Spans(), Spans()
    application = OpenTelemetryMiddleware(app, tracer_provider=server.provider)
    transport: Any = httpx.AsyncHTTPTransport()
    if ours:
        transport = cno.httpx.AsyncTransport(http1=not http2, http2=http2)
    traced = AsyncOpenTelemetryTransport(transport, tracer_provider=client.provider)
    async with under_ours(application) as port:
        await ask(port, traced)
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient(transport=traced) as again:
                await again.get("http://127.0.0.1:1/")
    return client.told(port), client.traces(), server.traces()


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_transports(http2: bool) -> None:
    expected, _, _ = asyncio.run(of_transport(False, False))
    assert len(expected) == 4
    found, ours, theirs = asyncio.run(of_transport(True, http2))
    assert found == expected
    assert theirs < ours  # a server's spans belong to the traces of its clients
    assert len(theirs) == 3
