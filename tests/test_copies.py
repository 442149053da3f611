"""Errors, limits, settings and frames survive `copy` and `pickle`, as between processes."""

import asyncio
import copy
import inspect
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

import cno
from cno import aio, hpack, raw
from cno.examples import grpc
from cno.limits import Limits
from cno.websocket import HandshakeError
from tests.rows import each_row


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


WAYS: list[Callable[[Any], Any]] = [pickled, copy.copy, copy.deepcopy]

ERRORS: list[Exception] = [
    raw.ConnectionError(3, "broken", stream=5, code=1, rule="RFC 9113 5.1"),
    raw.UsageError("not now", stream=3, rule="RFC 9110 8.6"),
    raw.NoMemoryError("no memory"),
    raw.UnsupportedError("no PING", stream=1),
    raw.ProtocolError("bad frame", stream=7, code=2, rule="RFC 9113 4.2"),
    raw.InvalidStreamError("no such stream", stream=9),
    raw.WouldBlockError("later", stream=11),
    raw.DisconnectError("closed", stream=13),
    cno.StreamError("reset", stream=1, code=7, retryable=True),
    cno.ConnectionLostError("lost", stream=3, retryable=True),
    cno.ConnectError("unreachable", code=5),
    cno.StreamTimeoutError("late", stream=5, code=8, limit="body_timeout"),
    cno.ConnectionTimeoutError("late", stream=7, retryable=True, limit="ping_timeout"),
    cno.ConnectTimeoutError("late", limit="handshake_timeout"),
    cno.ProxyError("the proxy answers 407", code=407),
    cno.StatusError(404, "Not Found", [("server", "x")]),
    cno.BodyTooLargeError(10),
    hpack.HPACKError("bad index"),
    hpack.HeaderListTooLarge("too large"),
]


def public(module: Any) -> set[type]:
    return {
        value
        for name, value in vars(module).items()
        if name in module.__all__ and inspect.isclass(value) and issubclass(value, Exception)
    }


def test_no_public_error_is_left_out() -> None:
    known = {type(error) for error in ERRORS} | {cno.UpgradeRefused}
    assert public(cno) | public(raw) | public(hpack) | public(aio) == known


@each_row("error", ERRORS, ids=lambda error: type(error).__name__)
@each_row("way", WAYS)
def test_errors_keep_all_they_say(error: Any, way: Callable[[Any], Any]) -> None:
    again = way(error)
    assert type(again) is type(error)
    assert again.args == error.args
    assert str(again) == str(error)
    assert getattr(again, "__dict__", {}) == getattr(error, "__dict__", {})
    if isinstance(error, OSError):
        assert (again.errno, again.strerror) == (error.errno, error.strerror)


@pytest.mark.parametrize("way", WAYS)
def test_errors_of_the_examples(way: Callable[[Any], Any]) -> None:
    for error in (grpc.RpcError(5, "not found"), HandshakeError("no", 400, [("x", "y")])):
        again = way(error)
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


class Rejected(cno.StreamError):
    """An application's own, made of other arguments than its base."""

    def __init__(self, reason: str) -> None:
        super().__init__("rejected", stream=1, code=8)
        self.reason = reason


@pytest.mark.parametrize("way", WAYS)
def test_errors_of_an_application_do_as_well(way: Callable[[Any], Any]) -> None:
    error = Rejected("too old")
    error.add_note("seen on Monday")
    again = way(error)
    assert type(again) is Rejected
    assert (again.reason, again.stream, again.code) == ("too old", 1, 8)
    assert again.__notes__ == ["seen on Monday"]


def fail() -> None:
    raise cno.StreamError("reset", stream=1, code=2)


@pytest.mark.slow
def test_an_error_raised_in_another_process_arrives() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        for _ in range(2):
            with pytest.raises(cno.StreamError) as caught:
                executor.submit(fail).result(60)
            assert (caught.value.stream, caught.value.code) == (1, 2)


@pytest.mark.parametrize("way", WAYS)
def test_a_refused_upgrade(way: Callable[[Any], Any]) -> None:
    async def main() -> cno.UpgradeRefused:
        async def handle(request: cno.Request) -> None:
            await request.respond(403, [("reason", "none")])

        async with cno.serve(handle, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with await cno.connect(f"http://127.0.0.1:{port}") as client:
                with pytest.raises(cno.UpgradeRefused) as caught:
                    await client.upgrade("websocket")
        return caught.value

    error = asyncio.run(main())
    error.add_note("on the way")
    again = way(error)
    assert type(again) is cno.UpgradeRefused
    assert again.args == error.args
    assert (again.status, again.stream) == (403, 1)
    assert ("reason", "none") in again.headers
    assert again.__notes__ == ["on the way"]
    if way is pickled:
        with pytest.raises(AttributeError, match="process"):
            _ = again.response
    else:
        assert again.response is error.response


@each_row("way", WAYS)
@each_row("limits", [Limits(), Limits(max_pushes=None, header_timeout=2.5, allow_bare_lf=True)])
def test_limits(limits: Limits, way: Callable[[Any], Any]) -> None:
    again = way(limits)
    assert type(again) is Limits
    assert again == limits


@pytest.mark.parametrize("way", WAYS)
def test_settings(way: Callable[[Any], Any]) -> None:
    conn = raw.Connection(False)
    conn.configure(
        header_table_size=1,
        enable_push=0,
        max_concurrent_streams=2,
        initial_window_size=3,
        max_frame_size=20_000,
        max_header_list_size=4,
    )
    settings = conn.local_settings
    assert repr(way(settings)) == repr(settings)


@pytest.mark.parametrize("way", WAYS)
def test_frames(way: Callable[[Any], Any]) -> None:
    again = way(raw.Frame(0x6, 1, 0, b"12345678"))
    assert (again.type, again.flags, again.stream, again.payload) == (0x6, 1, 0, b"12345678")
