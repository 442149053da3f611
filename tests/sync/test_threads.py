"""Many threads on one pool; children of a fork; interrupts."""

import asyncio
import os
import random
import signal
import socket
import sys
import threading
import time

import pytest

import cno
from cno import sync
from cno.limits import Limits
from cno.sync.waker import Poller, Waker
from tests.aio.lab import HTTP1, HTTP2, Lab, Peer, Wire, by_hand
from tests.stress import threads as load
from tests.sync.kit import background, in_threads, serving


async def echo(request: cno.Request) -> None:
    await request.respond(200, [], await request.payload.read())


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_goaway_under_load(lab: Lab, wire: Wire) -> None:
    limits = Limits(max_requests_per_connection=50)
    with serving(lab, wire, echo, limits=limits) as url, sync.Pool() as pool:

        def work(number: int) -> None:
            for at in range(20):
                body = f"{number} {at}".encode() * 50
                assert pool.request("POST", url, [], body).read() == body

        in_threads(50, work)
        if wire.http2:
            assert pool.connections <= 3


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_cancels_and_timeouts(lab: Lab, wire: Wire) -> None:
    """Whatever some threads give up, the bodies of others are exact."""
    with serving(lab, wire, echo) as url, sync.Pool() as pool:

        def work(number: int) -> None:
            chance = random.Random(number)
            for at in range(15):
                body = bytes([number, at]) * chance.choice((10, 10_000, 300_000))
                how = chance.randrange(4)
                try:
                    timeout = chance.random() * 0.05 + 0.001 if how == 0 else None
                    with pool.request("POST", url, [], body, timeout=timeout) as response:
                        if how == 1:
                            response.cancel()
                        elif how == 2:
                            assert body.startswith(next(response))
                        else:
                            assert response.read() == body
                except TimeoutError:
                    assert how == 0

        in_threads(20, work)
        assert pool.request("POST", url, [], b"end").read() == b"end"


def test_uploads_and_downloads_larger_than_all_buffers(lab: Lab) -> None:
    data = os.urandom(3_000_000)
    with serving(lab, HTTP2, echo) as url, sync.Pool() as pool:

        def work(number: int) -> None:
            pieces = (data[at : at + 70_000] for at in range(0, len(data), 70_000))
            with pool.request("POST", url, [], pieces if number % 2 else data) as response:
                assert b"".join(response) == data

        in_threads(6, work)


def test_a_follower_leads_on(lab: Lab) -> None:
    """The thread that reads for all is done first, and the others still get their responses."""

    async def enter(request: cno.Request) -> None:
        number = int(request.path[1:])
        seen.append(number)
        if len(seen) == 10:
            all_here.set()
        await all_here.wait()
        for _ in range(number):
            await asyncio.sleep(0.001)
        await request.respond(200, [], str(number).encode())

    seen: list[int] = []
    all_here = asyncio.Event()
    with serving(lab, HTTP2, enter) as url, sync.Pool() as pool:

        def work(number: int) -> None:
            assert pool.request("GET", f"{url}/{number}").read() == str(number).encode()

        in_threads(10, work)
        assert pool.connections == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_a_child_starts_afresh(lab: Lab, wire: Wire) -> None:
    with serving(lab, wire, echo) as url, sync.Pool() as pool:
        open_one = pool.request("POST", url, [], bytes(300_000))
        busy = True

        def work() -> None:
            while busy:
                pool.request("POST", url, [], bytes(1000)).read()

        # One of them may hold the pool's lock when the process forks.
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                assert pool.request("POST", url, [], b"child").read() == b"child"
                assert pool.connections == 1
                try:
                    open_one.read()  # it may have come before the fork
                except cno.ConnectionLostError:
                    pass
                code = 0
            finally:
                os._exit(code)
        busy = False
        for thread in threads:
            thread.join()
        assert os.waitpid(child, 0)[1] == 0
        assert len(open_one.read()) == 300_000
        assert pool.request("POST", url, [], b"parent").read() == b"parent"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_an_interrupt_while_waiting(lab: Lab, wire: Wire) -> None:
    async def never(request: cno.Request) -> None:
        if request.path == "/never":
            await asyncio.Event().wait()
        await request.respond(200, [], b"ok")

    with serving(lab, wire, never) as url, sync.Pool() as pool:
        assert pool.request("GET", url).read() == b"ok"
        for _ in range(3):
            main = threading.main_thread().ident
            timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT))
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                pool.request("GET", url + "/never", timeout=5)
            timer.join()
            assert pool.request("GET", url).read() == b"ok"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="signals of POSIX")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_interrupts_at_any_place(lab: Lab, wire: Wire) -> None:
    """Interrupts at random moments leave nothing locked."""
    with serving(lab, wire, echo) as url, sync.Pool() as pool:
        interrupted = 0
        until = time.monotonic() + 1.5
        chance = random.Random(1)
        while time.monotonic() < until:
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.random() * 0.002 + 1e-5)
                body = os.urandom(100)
                for _ in range(5):
                    assert pool.request("POST", url, [], body, timeout=10).read() == body
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        assert interrupted > 10
        assert pool.request("POST", url, [], b"end", timeout=10).read() == b"end"


@pytest.fixture(autouse=True)
def alarms_interrupt() -> object:
    """Let the alarm of the system raise KeyboardInterrupt."""
    if not hasattr(signal, "SIGALRM"):
        return None

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    return signal.signal(signal.SIGALRM, interrupt)


def test_one_slow_server_does_not_hold_up_others(lab: Lab) -> None:
    async def silent(peer: Peer) -> None:
        await peer.reader.read()

    with background(lambda: by_hand(silent)) as slow, serving(lab, HTTP2, echo) as url:
        with sync.Pool() as pool:

            def wait(number: int) -> None:
                with pytest.raises(TimeoutError):
                    pool.request("GET", slow, timeout=0.3)

            def work(number: int) -> None:
                if number < 3:
                    wait(number)
                else:
                    began = time.monotonic()
                    assert pool.request("POST", url, [], b"x").read() == b"x"
                    assert time.monotonic() - began < 0.25

            in_threads(6, work)


def test_a_request_does_not_wait_for_a_connection_that_it_does_not_need(lab: Lab) -> None:
    """Of two requests, the second one begins to make a connection, which hangs. When the first one
    is done, the second one uses its connection."""
    has_first, has_second = threading.Event(), threading.Event()

    def serve() -> None:
        raw, _ = listener.accept()
        with lab.certs.server("http/1.1").wrap_socket(raw, server_side=True) as peer:
            peer.recv(65_536)
            has_first.set()
            hanging, _ = listener.accept()
            with hanging:
                has_second.set()
                peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                peer.recv(65_536)
                peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                is_done.wait(20)

    def ask(number: int) -> None:
        if number == 1:
            has_first.wait(5)
        pool.request("GET", url, timeout=8).read()

    is_done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, sync.Pool(lab.certs.client()) as pool:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        server = threading.Thread(target=serve)
        server.start()
        try:
            began = time.monotonic()
            in_threads(2, ask)
            assert has_second.is_set()
            assert time.monotonic() - began < 5
            assert pool.connections == 1
        finally:
            is_done.set()
            server.join(10)


def test_a_pool_that_closes_waits_for_no_proxy(lab: Lab) -> None:
    """A thread that waits for the response to CONNECT ends when the pool is closed."""
    errors: list[BaseException] = []

    def ask(pool: sync.Pool) -> None:
        try:
            pool.request("GET", "https://127.0.0.1:9/")
        except OSError as error:
            errors.append(error)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        pool = sync.Pool(lab.certs.client(), proxy=f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=ask, args=(pool,))
        thread.start()
        proxy, _ = listener.accept()
        with proxy:
            assert proxy.recv(65_536).startswith(b"CONNECT ")
            pool.close()
            thread.join(5)
            assert not thread.is_alive()
    assert [str(each) for each in errors] == ["the pool was closed"]


def test_a_hurried_request_does_not_fail_others(lab: Lab) -> None:
    """One thread gives up the connection that it makes for others, too: they make another one."""
    answered = asyncio.Event()

    async def slow(peer: Peer) -> None:
        if not answered.is_set():
            answered.set()
            await peer.reader.read()  # the first connection gets no answer to its handshake
            return
        peer.writer.close()

    with background(lambda: by_hand(slow)) as url, sync.Pool() as pool:
        secure = url.replace("http:", "https:")
        kinds: list[type] = []

        def work(number: int) -> None:
            timeout = sync.Timeout(connect=0.1) if number == 0 else None
            with pytest.raises(cno.ConnectionError) as caught:
                pool.request("GET", secure, timeout=timeout)
            kinds.append(type(caught.value))

        first = threading.Thread(target=work, args=(0,))
        first.start()
        time.sleep(0.03)
        work(1)
        first.join()
        assert sorted(each.__name__ for each in kinds) == ["ConnectError", "ConnectTimeoutError"]


@pytest.mark.parametrize("wire", [HTTP1, HTTP2], ids=str)
def test_the_load_of_many_threads(lab: Lab, wire: Wire) -> None:
    """A short form of `python -m tests.stress.threads`."""
    outcome = load.run(lab, wire, threads=20, requests=25, goaway=40, faults=0.3, seed=5)
    assert outcome.violations == []
    assert outcome.done + outcome.given_up == 500


def test_many_threads_ask_for_input() -> None:
    """`poll` refuses a second thread: there may be input then."""
    here, there = socket.socketpair()
    waker = Waker()
    with here, there:
        poller = Poller(here.fileno(), waker)
        assert not poller.has_input()

        def ask(_: int) -> None:
            for _ in range(3_000):
                poller.has_input()

        in_threads(4, ask)
        there.send(b"x")
        assert poller.has_input()
    waker.close()
