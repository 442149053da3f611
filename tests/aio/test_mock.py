"""What `unittest.mock` can stand in for, in both builds (README, "In your tests")."""

import asyncio
from collections.abc import Callable
from unittest import mock

import pytest

import cno
from tests.rows import each_row


async def fetch(url: str) -> bytes:
    """An application's function that makes a request."""
    async with await cno.request("GET", url) as response:
        return await response.payload.read()


async def fetch_from(pool: cno.Pool, url: str) -> int:
    return (await pool.request("GET", url)).code


def answer(code: int, body: bytes) -> mock.MagicMock:
    """A response, as far as an application looks at it."""
    response = mock.MagicMock(spec=cno.Response)
    response.code = code
    response.payload.read = mock.AsyncMock(return_value=body)
    response.__aenter__.return_value = response
    return response


def test_functions_of_the_module() -> None:
    with mock.patch("cno.request", mock.AsyncMock(return_value=answer(200, b"ok"))) as request:
        assert asyncio.run(fetch("http://cno.test/")) == b"ok"
    request.assert_awaited_once_with("GET", "http://cno.test/")


def test_methods_of_a_class() -> None:
    original = cno.Pool.request

    async def main() -> int:
        async with cno.Pool() as pool:
            return await fetch_from(pool, "http://cno.test/")

    with mock.patch.object(cno.Pool, "request", autospec=False) as request:
        assert isinstance(request, mock.AsyncMock)
        request.return_value = answer(204, b"")
        assert asyncio.run(main()) == 204
    assert cno.Pool.request is original


@each_row("kind", [mock.Mock, mock.MagicMock, mock.AsyncMock])
@each_row("spec", [cno.Pool, cno.Client])
def test_an_object_in_place_of_one(kind: Callable[..., mock.Mock], spec: type) -> None:
    pool = kind(spec=spec)
    assert isinstance(pool, spec)
    assert isinstance(pool.request, mock.AsyncMock)
    pool.request.return_value = answer(201, b"")
    assert asyncio.run(fetch_from(pool, "/")) == 201
    with pytest.raises(AttributeError):
        pool.requst("GET", "/")


def test_a_handler_with_a_request_in_place_of_one() -> None:
    async def handle(request: cno.Request) -> None:
        body = await request.payload.read()
        await request.respond(200, [], request.method.encode() + body)

    request = mock.MagicMock(spec=cno.Request)
    request.method = "POST"
    request.payload.read = mock.AsyncMock(return_value=b"!")
    asyncio.run(handle(request))
    request.respond.assert_awaited_once_with(200, [], b"POST!")


def test_an_object_itself_cannot_be_patched_where_it_is_compiled() -> None:
    pool = cno.Pool()
    if not cno.COMPILED:
        with mock.patch.object(pool, "request"):
            return
    with pytest.raises(AttributeError), mock.patch.object(pool, "request"):
        pass


def test_a_subclass_can_be_patched_in_any_way() -> None:
    class Own(cno.Pool):
        """Has a dict for what is patched."""

    pool = Own()
    with mock.patch.object(pool, "request") as request:
        request.return_value = answer(200, b"")
        assert asyncio.run(fetch_from(pool, "/")) == 200
