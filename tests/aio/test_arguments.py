"""Settings, limits and handlers that cannot work are refused at once, before any connection.

A pool or a client that is used in another event loop raises RuntimeError.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial, wraps
from types import MethodType
from typing import Any, cast

import pytest

import cno
from cno import raw
from tests.aio.lab import HOST, HTTP1, Lab, Wire, place
from tests.rows import each_row

NOWHERE = "http://127.0.0.1:1"


async def handle(request: cno.Request) -> None:
    await request.respond(200, [], b"fine")


# -- settings and limits ---------------------------------------------------------------------------


async def made(how: str, **arguments: Any) -> None:
    """Set up what takes settings and limits; it must not get as far as to connect."""
    if how == "serve":
        async with cno.serve(handle, HOST, 0, **arguments):
            pass
    elif how == "Server":
        cno.Server(handle, **arguments)
    elif how == "Client":
        cno.Client("example.com", "http", **arguments)
    elif how == "Pool":
        cno.Pool(**arguments)
    elif how == "connect":
        await cno.connect(NOWHERE, **arguments)
    else:
        await cno.request("GET", NOWHERE, **arguments)


HOWS = ["serve", "Server", "Client", "Pool", "connect", "request"]


@each_row("how", HOWS)
@each_row(
    "settings",
    [
        {"enable_conect_protocol": 1},
        {"header_timeout": 1},
        {3: 100},
        {"max_frame_size": "20000"},
        {"initial_window_size": 70_000.0},
        [("max_frame_size", 20_000)],
    ],
    ids=str,
)
def test_settings_of_other_names_and_types(how: str, settings: Any) -> None:
    with pytest.raises(TypeError):
        asyncio.run(made(how, settings=settings))


@each_row("how", HOWS)
@each_row(
    "settings",
    [
        {"max_frame_size": 16_383},
        {"initial_window_size": 1 << 31},
        {"max_concurrent_streams": -1},
        {"header_table_size": 1 << 32},
        {"enable_connect_protocol": 2},
    ],
    ids=str,
)
def test_settings_that_the_protocol_does_not_allow(how: str, settings: Any) -> None:
    with pytest.raises(raw.UsageError):
        asyncio.run(made(how, settings=settings))


@pytest.mark.parametrize("how", ["serve", "Server"])
def test_a_server_cannot_take_pushes(how: str) -> None:
    with pytest.raises(raw.UsageError, match="push"):
        asyncio.run(made(how, settings={"enable_push": 1}))


@each_row("how", HOWS)
def test_limits_of_another_type(how: str) -> None:
    with pytest.raises(TypeError):
        asyncio.run(made(how, limits={"max_body_size": 1}))


def test_what_may_be_left_out_may_be_none() -> None:
    async def main() -> None:
        for how in HOWS[:4]:
            await made(how, settings=None, limits=None)
            await made(how, settings={}, limits=cno.Limits())
            await made(how, settings={"enable_push": None, "max_frame_size": 20_000})

    asyncio.run(main())


@pytest.mark.parametrize("value", ["20000", 20_000.5])
def test_configure_takes_numbers_only(value: Any) -> None:
    conn = raw.Connection(True)
    with pytest.raises(TypeError):
        conn.configure(max_frame_size=value)
    assert conn.local_settings.max_frame_size == 16_384


# -- handlers --------------------------------------------------------------------------------------


def plain(request: cno.Request) -> None:
    pass


def returns_early(request: cno.Request) -> None:
    if request.method == "GET":
        return
    print(request.path)


def generator(request: cno.Request) -> Any:
    yield request


async def async_generator(request: cno.Request) -> Any:
    yield request


class Plain:
    def __call__(self, request: cno.Request) -> None:
        pass

    def method(self, request: cno.Request) -> None:
        pass


def not_async(function: Any) -> Any:
    @wraps(function)
    def wrapper(request: cno.Request) -> None:
        function(request)

    return wrapper


NEVER = {
    "plain": plain,
    "returns early": returns_early,
    "lambda": lambda request: None,
    "generator": generator,
    "asynchronous generator": async_generator,
    "object": Plain(),
    "method": Plain().method,
    "partial": partial(plain),
    "wrapped": not_async(handle),
    "None": None,
    "text": "handle",
}


@each_row("name", NEVER)
@each_row("how", ["serve", "Server"])
def test_handlers_that_never_return_an_awaitable(name: str, how: str) -> None:
    async def main() -> None:
        handler: Any = NEVER[name]
        if how == "serve":
            cno.serve(handler, HOST, 0)
        else:
            cno.Server(asyncio.get_running_loop(), handler)

    with pytest.raises(TypeError, match="handler"):
        asyncio.run(main())


def returns_coroutine(request: cno.Request) -> Coroutine[Any, Any, None]:
    return handle(request)


def returns_task(request: cno.Request) -> Awaitable[None]:
    return asyncio.ensure_future(handle(request))


def sometimes(request: cno.Request) -> Awaitable[None] | None:
    """One that has a way to return nothing, which is not taken."""
    if request.path == "/never":
        return None
    return handle(request)


def either(request: cno.Request) -> Awaitable[None] | None:
    found: Any = handle(request)
    return found or None  # (one instruction returns both)


class Service:
    async def __call__(self, request: cno.Request) -> None:
        await handle(request)

    async def method(self, request: cno.Request) -> None:
        await handle(request)

    def forward(self, request: cno.Request) -> Coroutine[Any, Any, None]:
        return handle(request)


def wrapped(function: Any) -> Any:
    @wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


AWAITABLE = {
    "function": handle,
    "returns a coroutine": returns_coroutine,
    "returns a task": returns_task,
    "sometimes": sometimes,
    "either": either,
    "lambda": lambda request: handle(request),
    "partial": partial(handle),
    "partial of a partial": partial(partial(handle)),
    "object": Service(),
    "method": Service().method,
    "forwarding method": Service().forward,
    "wrapped": wrapped(handle),
}


@pytest.mark.parametrize("name", AWAITABLE)
def test_handlers_that_return_an_awaitable(lab: Lab, name: str) -> None:
    async def main() -> None:
        handler = cast("Callable[[cno.Request], Coroutine[Any, Any, None]]", AWAITABLE[name])
        async with lab.serving(HTTP1, handler) as url, cno.Pool() as pool:
            async with await pool.request("GET", url) as response:
                assert await response.payload.read() == b"fine"

    lab.run(main())


def test_a_handler_that_turns_out_to_return_nothing(lab: Lab, wire: Wire) -> None:
    async def main() -> None:
        def handler(request: cno.Request) -> Any:
            return None if request.path == "/never" else handle(request)

        async with lab.pair(wire, handler) as client:
            response = await client.request("GET", "/never")
            assert response.code == 500
            await response.payload.read()
            response = await client.request("GET", "/")
            assert await response.payload.read() == b"fine"

    lab.run(main(), failures=1)
    assert "async def" in lab.failures[0]["message"]
    assert "<Request GET '/never'" in lab.failures[0]["message"]
    assert isinstance(lab.failures[0]["exception"], TypeError)


def many_wrappers() -> Any:
    """A plain function behind more wrappers than are looked through."""

    def ignore(*arguments: Any) -> None:
        pass

    found: Any = ignore
    for _ in range(20):
        found = MethodType(found, "wrapped")
    return found


@pytest.mark.parametrize(
    "handler",
    [lambda request: request.path == "/", lambda request: 5, print, many_wrappers()],
    ids=["expression", "constant", "builtin", "many wrappers"],
)
def test_handlers_of_which_only_a_call_tells(lab: Lab, handler: Any) -> None:
    async def main() -> None:
        async with lab.serving(HTTP1, handler) as url:
            async with cno.request("GET", url) as response:
                assert response.code == 500

    lab.run(main(), failures=1)
    assert "returned no awaitable" in lab.failures[0]["message"]


def test_a_type_error_of_a_handlers_own_is_told_as_that(lab: Lab) -> None:
    async def main() -> None:
        async def handler(request: cno.Request) -> None:
            raise TypeError("of its own")

        def other(request: cno.Request) -> Any:
            raise TypeError("of its own")

        for each in (handler, other):
            async with lab.pair(HTTP1, each) as client:
                response = await client.request("GET", "/")
                assert response.code == 500
                await response.payload.read()

    lab.run(main(), failures=2)
    for failure in lab.failures:
        assert "async def" not in failure["message"]


# -- event loops -----------------------------------------------------------------------------------


def test_a_pool_in_another_event_loop_says_so(lab: Lab) -> None:
    async def use(pool: cno.Pool) -> None:
        async with lab.serving(HTTP1, handle) as url:
            async with await pool.request("GET", url) as response:
                await response.payload.read()
            await pool.aclose()

    async def misuse(pool: cno.Pool) -> None:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="another event loop"):
                await pool.request("GET", NOWHERE)
        with pytest.raises(RuntimeError, match="another event loop"):
            await pool.wait_closed()
        with pytest.raises(RuntimeError, match="another event loop"):
            await pool.aclose()
        with pytest.raises(RuntimeError, match="another event loop"):
            async with pool:
                pass

    pool = cno.Pool()
    lab.run(use(pool))
    lab.run(misuse(pool))


def test_a_pool_may_be_made_before_its_event_loop(lab: Lab) -> None:
    pool = cno.Pool()

    async def main() -> None:
        async with lab.serving(HTTP1, handle) as url, pool:
            async with await pool.request("GET", url) as response:
                assert await response.payload.read() == b"fine"

    lab.run(main())


def test_a_client_in_another_event_loop_says_so(lab: Lab, wire: Wire) -> None:
    """It is in use in one thread, and used from another: nothing must be written from there."""

    async def misuse(client: cno.Client) -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            await client.request("GET", "/other")
        with pytest.raises(RuntimeError, match="another event loop"):
            await client.upgrade("websocket")
        with pytest.raises(RuntimeError, match="another event loop"):
            await client.tunnel("example.com:443")
        with pytest.raises(RuntimeError, match="another event loop"):
            await client.ping()
        with pytest.raises(RuntimeError, match="another event loop"):
            await client.wait_closed()
        with pytest.raises(RuntimeError, match="another event loop"):
            async with client:
                pass

    async def main() -> None:
        paths = []

        async def handler(request: cno.Request) -> None:
            paths.append(request.path)
            await handle(request)

        async with lab.serving(wire, handler) as url:
            client = await lab.connect(wire, url)
            await asyncio.to_thread(asyncio.run, misuse(client))
            async with client:
                response = await client.request("GET", "/own")
                assert await response.payload.read() == b"fine"
        assert paths == ["/own"]

    lab.run(main())


def test_a_server_that_listens_is_not_affected(lab: Lab) -> None:
    """Connections that `Server()` is made for by hand do without a check for each."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: cno.Server(loop, handle), HOST, 0)
        response = await cno.request("GET", place(server))
        assert await response.payload.read() == b"fine"
        server.close()

    lab.run(main())
