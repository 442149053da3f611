"""An interrupt at each call of a function: other threads of the connection are not left waiting.

The interrupts come by a trace function, so the sources must run.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

import cno
from cno import sync
from cno.websocket import Options, WebSocketClosed
from tests import frames as f
from tests.aio.lab import HTTP2, Lab, Peer, by_hand, greet
from tests.sync.kit import background, serving

pytestmark = pytest.mark.skipif(cno.COMPILED, reason="compiled code calls no trace function")
#: More calls than any of the functions makes.
MOST = 60


class Interrupt:
    """Raises KeyboardInterrupt at a call, counted from 1, of a function or of what it calls, in one
    of the threads that are armed."""

    def __init__(self, function: str, at: int) -> None:
        self._function = function
        self._at = at
        self._calls = 0
        self.came = False

    @contextmanager
    def armed(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            yield
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> None:
        if not self.came and self._is_inside(frame):
            self._calls += 1
            if self._calls == self._at:
                self.came = True
                raise KeyboardInterrupt

    def _is_inside(self, frame: FrameType | None) -> bool:
        if frame is None or "/cno/sync/" not in frame.f_code.co_filename:
            return False
        while frame is not None:
            if frame.f_code.co_name == self._function:
                return True
            frame = frame.f_back
        return False


def at_each_call(function: str, attempt: Callable[[Interrupt], None]) -> None:
    """Make an attempt for each call that `function` leads to."""
    for at in range(1, MOST):
        interrupt = Interrupt(function, at)
        attempt(interrupt)
        if not interrupt.came:
            assert at > 1, "the function was not called"
            return
    raise AssertionError("there are more calls than that")


def test_while_a_websocket_lets_the_next_thread_send(lab: Lab) -> None:
    pytest.importorskip("websockets")
    may_read = threading.Event()

    async def slow(request: cno.Request) -> None:
        async with await request.accept_websocket() as socket:
            await asyncio.to_thread(may_read.wait, 5)
            async for _ in socket:
                pass

    def attempt(interrupt: Interrupt) -> None:
        outcome: list[object] = []
        may_read.clear()
        options = Options(compression=False, close_timeout=0.1)
        with pool.websocket(url, options=options) as socket:

            def send() -> None:
                timer = threading.Timer(0.01, may_read.set)
                timer.start()
                try:
                    socket.send("second", timeout=2)
                    outcome.append("sent")
                except Exception as error:
                    outcome.append(error)
                timer.join()

            other = threading.Timer(0.01, send)
            other.start()
            with interrupt.armed():
                socket.send(bytes(200_000), timeout=5)  # more than the server's window
            other.join(10)
        assert outcome == ["sent"] or isinstance(outcome[0], WebSocketClosed), outcome

    settings: cno.SettingsDict = {"enable_connect_protocol": True, "initial_window_size": 1_000}
    with serving(lab, HTTP2, slow, settings=settings) as url, sync.Pool() as pool:
        at_each_call("_leave_turn", attempt)


@pytest.mark.parametrize("function", ["lost", "release"])
def test_while_a_connection_ends(function: str) -> None:
    """Of two threads that wait for responses, the one that reads is interrupted."""

    async def two_requests(peer: Peer) -> None:
        await greet(peer)
        await peer.expect(f.HEADERS)
        has_one.set()
        await peer.expect(f.HEADERS)

    has_one = threading.Event()

    def attempt(interrupt: Interrupt) -> None:
        errors: list[BaseException] = []

        def ask() -> None:
            with interrupt.armed():
                try:
                    pool.request("POST", target, timeout=4)
                except cno.ConnectionError as error:
                    errors.append(error)

        has_one.clear()
        began = time.monotonic()
        with background(lambda: by_hand(two_requests)) as url, sync.Pool() as pool:
            target = url.replace("http:", "h2c:")
            threads = [threading.Thread(target=ask) for _ in range(2)]
            for thread in threads:
                thread.start()
                assert has_one.wait(5)
            for thread in threads:
                thread.join(10)
            assert pool.connections == 0
        assert time.monotonic() - began < 3
        assert len(errors) == (1 if interrupt.came else 2)

    at_each_call(function, attempt)
