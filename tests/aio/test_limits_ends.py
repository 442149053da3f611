"""Each field of `Limits` at both ends of its range works as its comment says.

Requests and responses with bodies, of a server and of a client with such a limit, over both
protocols. They succeed, or fail as the field's comment says; nothing spins, hangs, or raises in the
event loop.
"""

import asyncio
import dataclasses
import time
from typing import Any

import pytest

import cno
from cno.aio.client.connection import CLIENT_LIMITS
from cno.aio.server.connection import SERVER_LIMITS
from cno.limits import Limits, allowed
from tests.aio.lab import HTTP1, HTTP2, Lab, Wire

#: What a bound that is smaller than any message allows does not: the outcomes that there may be, of
#: which the order of events decides. `client` and `server` are who has the bound.
CALM = {"reset: ENHANCE_YOUR_CALM", "lost"}  # GOAWAY; the client may have noticed that or not
REFUSED = {"reset: REFUSED_STREAM"}
BAD = {"reset: PROTOCOL_ERROR", "lost"}  # of an HTTP/1.1 response
SMALL: dict[tuple[str, str, str], set[str]] = {
    ("max_concurrent_streams", "server", "http2"): {*REFUSED, "waits"},
    ("max_header_list_size", "server", "http1"): {"431"},
    ("max_header_list_size", "server", "http2"): {*CALM, *REFUSED, "not sent"},
    ("max_header_list_size", "client", "http1"): BAD,
    ("max_header_list_size", "client", "http2"): CALM,
    ("max_header_fields", "server", "http1"): {"431"},
    ("max_header_fields", "server", "http2"): {"431"},
    ("max_header_fields", "client", "http1"): BAD,
    ("max_header_fields", "client", "http2"): CALM,
    ("max_header_bytes_per_connection", "server", "http2"): REFUSED,
    ("max_header_block_size", "server", "http2"): {*CALM, *REFUSED},
    ("max_header_block_size", "client", "http2"): CALM,
    ("max_settings_entries", "server", "http2"): {*CALM, *REFUSED},
    ("max_settings_entries", "client", "http2"): CALM,
    ("glitch_budget", "server", "http2"): {*CALM, *REFUSED},
    ("glitch_budget", "client", "http2"): CALM,
    ("max_line_size", "server", "http1"): {"414", "501"},
    ("max_line_size", "client", "http1"): BAD,
    ("max_trailer_size", "server", "http1"): {"400"},
    ("max_trailer_fields", "server", "http1"): {"400"},
    ("max_body_size", "server", "http1"): {"413"},
    ("max_body_size", "server", "http2"): {"413", "reset: CANCEL"},
    ("max_body_size", "client", "http1"): BAD,
    ("max_body_size", "client", "http2"): {"reset: CANCEL"},
    ("max_requests_per_connection", "server", "http1"): {"lost"},
    ("max_requests_per_connection", "server", "http2"): {"lost"},
    ("keepalive_timeout", "server", "http1"): {"lost"},
    ("keepalive_timeout", "server", "http2"): {"lost"},
}
#: Waits that nobody can keep to all of the time: a millisecond.
TIMES = {"lost", "late", "408", "reset: CANCEL", "reset: SETTINGS_TIMEOUT", *CALM}

FIELDS = {field.name: field for field in dataclasses.fields(Limits)}


def ends() -> list[tuple[str, Any]]:
    """(field, value) for the least and the largest value of each, and for None where it may be."""
    found: list[tuple[str, Any]] = []
    for name, field in FIELDS.items():
        if field.type is bool:
            found += [(name, False), (name, True)]
            continue
        found += [(name, end) for end in allowed(name)]
        if "None" in str(field.type):
            found.append((name, None))
    return found


def test_nothing_beyond_the_ends() -> None:
    for name, field in FIELDS.items():
        if field.type is not bool:
            least, most = allowed(name)
            wrong: dict[str, Any] = {name: least - 1 if isinstance(least, int) else least / 2}
            with pytest.raises(ValueError, match=name):
                Limits(**wrong)
            wrong = {name: most + 1 if field.type in (int, int | None) else most * 2.0}
            with pytest.raises((ValueError, TypeError)):
                Limits(**wrong)


def test_what_makes_no_sense_is_refused() -> None:
    for name in ("max_requests_per_connection", "max_pipelined", "max_pending_handlers"):
        assert allowed(name)[0] == 1
    for name in FIELDS:
        if name.endswith(("_timeout", "_interval")):
            # None switches it off; these may be no time at all.
            may_be_zero = name.startswith(("linger", "half", "keepalive", "shutdown", "expect"))
            assert (allowed(name)[0] == 0) == may_be_zero, name


async def read_all(response: cno.Response) -> bytes:
    return await response.payload.read()


async def exchange(lab: Lab, wire: Wire, size: int, server: Limits, client: Limits) -> str:
    """Two requests of each kind on one connection; "works", or what stopped them."""
    body = b"x" * size

    async def handle(request: cno.Request) -> None:
        received = await request.payload.read()
        await request.respond(200, [("x-size", str(len(received)))], body)

    async with lab.serving(wire, handle, limits=server) as url:
        try:
            conn = await lab.connect(wire, url, limits=client)
        except cno.ConnectError as error:
            return "late" if isinstance(error, TimeoutError) else "lost"
        try:
            async with conn, asyncio.timeout(5):
                for _ in range(2):
                    response = await conn.request("GET", "/", [("accept", "*/*")])
                    if response.code != 200:
                        return str(response.code)
                    assert await read_all(response) == body
                    response = await conn.request("POST", "/", [], body, trailers=[("x-t", "1")])
                    if response.code != 200:
                        return str(response.code)
                    assert ("x-size", str(size)) in response.headers
                    assert await read_all(response) == body
                return "works"
        except cno.StreamError as reset:
            if isinstance(reset, TimeoutError):
                return "late"
            return f"reset: {cno.raw.ErrorCode(reset.code).name}"
        except cno.ConnectionLostError:
            return "lost"
        except cno.raw.UsageError:
            return "not sent"
        except TimeoutError:
            return "waits"


def outcomes(name: str, value: Any, side: str, wire: Wire) -> set[str]:
    if name == "max_connection_age" and value == allowed(name)[0]:
        return {"works", "lost"}  # one of the two requests was late
    if name.endswith(("_timeout", "_interval")) and value == allowed(name)[0] != 0:
        return {"works", *TIMES}
    expected = {"works"}
    if value is not None and value == allowed(name)[0] and FIELDS[name].type is not bool:
        small = SMALL.get((name, side, wire.name), expected)
        if name in ("max_concurrent_streams", "keepalive_timeout"):
            return small | expected  # what was sent before that was known, or soon enough
        return small
    return expected


#: Sizes that make octets go one by one.
ONE_BY_ONE = {"read_chunk", "read_frames", "write_buffer", "max_unsent"}


@pytest.mark.parametrize(("name", "value"), ends())
def test_both_ends_of_each(lab: Lab, name: str, value: Any) -> None:
    async def main() -> None:
        for wire in (HTTP1, HTTP2):
            for side, limits in (("server", SERVER_LIMITS), ("client", CLIENT_LIMITS)):
                changed: dict[str, Any] = {name: value}
                if name in ("initial_window_size", "connection_window") and value == 0:
                    if name == "initial_window_size":
                        continue  # for `raw.Connection` alone
                bounded = dataclasses.replace(limits, **changed)
                server = bounded if side == "server" else SERVER_LIMITS
                client = bounded if side == "client" else CLIENT_LIMITS
                size = 1_000 if name in ONE_BY_ONE and value in (0, 1) else 100_000
                before = time.process_time()
                outcome = await exchange(lab, wire, size, server, client)
                spent = time.process_time() - before
                assert outcome in outcomes(name, value, side, wire), (wire.name, side)
                assert spent < 2, (wire.name, side, "it spins")

    lab.run(main())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_windows_of_an_octet(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        limits = Limits(initial_window_size=1, max_stream_window=0, max_connection_window=0)
        assert await exchange(lab, wire, 50, limits, limits) == "works"

    lab.run(main())


def test_a_window_that_never_opens_is_refused() -> None:
    limits = Limits(initial_window_size=0)

    async def handle(request: cno.Request) -> None: ...

    async def main() -> None:
        for make in (
            lambda: cno.serve(handle, "127.0.0.1", 0, limits=limits),
            lambda: cno.Server(handle, limits=limits),
            lambda: cno.Client("cno.test", "http", limits=limits),
            lambda: cno.Pool(limits=limits),
        ):
            with pytest.raises(ValueError, match="initial_window_size"):
                make()
        with pytest.raises(ValueError, match="initial_window_size"):
            await cno.connect("http://127.0.0.1:1", limits=limits)

    asyncio.run(main())
    cno.raw.Connection(True, limits=limits)


def test_a_listener_that_is_closed_at_once(lab: Lab) -> None:
    """No time at all for what is under way."""

    async def main() -> None:
        waiting = asyncio.Event()

        async def handle(request: cno.Request) -> None:
            waiting.set()
            await asyncio.sleep(60)

        for timeout in (0, 0.0, -1):
            waiting.clear()
            async with cno.serve(handle, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                request = asyncio.ensure_future(cno.request("GET", f"http://127.0.0.1:{port}"))
                await waiting.wait()
                server.close()
                server.close(timeout)
                with pytest.raises(cno.ConnectionLostError):
                    await request

    lab.run(main())
