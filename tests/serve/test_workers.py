"""Workers of `cno serve`: what dies, hangs, grows or is replaced; signals, with requests open."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.processes import PATIENCE
from tests.serve.load import Load
from tests.serve.server import Served, alive, children, eventually, serving, start, wait_for_log

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="asks Linux's /proc")

QUIET = ("--no-access-log", "--workers", "2")
VERSIONS = pytest.mark.parametrize("http2", [False, True], ids=["http1", "h2"])


def under_load(served: Served, http2: bool, step: Callable[[Load], Awaitable[None]]) -> Load:
    """Do something to a server that gets requests all the time."""

    async def main() -> Load:
        async with Load(served.url, http2=http2) as load:
            await load.wait(50)
            await step(load)
        return load

    return asyncio.run(main())


@VERSIONS
def test_hangup_replaces_workers_and_loses_nothing(http2: bool) -> None:
    with serving(*QUIET) as served:

        async def step(load: Load) -> None:
            before = served.pids()
            os.kill(served.pid, signal.SIGHUP)
            async with asyncio.timeout(PATIENCE):
                while before & served.pids() or len(served.pids()) != 2:
                    await load.wait(1)
            await load.wait(50)

        load = under_load(served, http2, step)
    assert load.lost == []


@VERSIONS
@pytest.mark.parametrize("workers", ["1", "2"])
def test_termination_loses_nothing(http2: bool, workers: str) -> None:
    with serving("--no-access-log", "--workers", workers) as served:

        async def step(load: Load) -> None:
            load.finish()
            os.kill(served.pid, signal.SIGTERM)

        load = under_load(served, http2, step)
        served.running.wait()
    assert load.lost == []


@VERSIONS
def test_killed_worker_loses_its_own_requests_alone(http2: bool) -> None:
    with serving(*QUIET) as served:

        async def step(load: Load) -> None:
            before = served.pids()
            os.kill(min(before), signal.SIGKILL)
            async with asyncio.timeout(PATIENCE):
                while len(served.pids() - before) != 1:
                    await load.wait(1)
            await load.wait(50)

        load = under_load(served, http2, step)
        assert len(served.pids()) == 2
    assert len(load.lost) <= load.clients * load.depth


def test_worker_that_hangs_is_killed() -> None:
    with serving(*QUIET, "--timeout-worker-healthcheck", "0.5") as served:
        before = served.pids()
        with pytest.raises(httpx.TransportError):
            served.ask("/hang")
        eventually(lambda: len(served.pids() - before) == 1)
        wait_for_log(served.running, "hangs for 0.5 s")
        served.ask()


def test_worker_that_grows_or_ages_is_replaced() -> None:
    options = ("--worker-max-rss", "120M", "--no-access-log")
    with serving(*options) as served:
        (first,) = served.pids()
        assert served.ask("/grow")["pid"] == first
        wait_for_log(served.running, "bytes of memory: replacing it")
        eventually(lambda: served.pids() and first not in served.pids())
        served.ask()
    with serving("--worker-lifetime", "0.5", "--no-access-log") as served:
        before = served.pids()
        wait_for_log(served.running, "has reached its age")
        eventually(lambda: not before & served.pids())
        served.ask()


def test_worker_is_replaced_after_its_requests() -> None:
    with serving("--workers", "2", "--limit-max-requests", "3", "--no-access-log") as served:
        before = served.pids()
        for _ in range(5):  # one of two workers gets three of them
            served.ask()
        wait_for_log(served.running, "has had its requests: replacing it")
        eventually(lambda: len(served.pids()) == 2 and not before <= served.pids())
        served.ask()


def test_signals_add_and_take_workers() -> None:
    with serving(*QUIET) as served:
        os.kill(served.pid, signal.SIGTTIN)
        eventually(lambda: len(served.pids()) == 3)
        for left in (2, 1, 1):
            os.kill(served.pid, signal.SIGTTOU)
            wait_for_count(served, left)
        served.ask()


def test_second_signal_ends_at_once() -> None:
    for workers in ("1", "2"):
        with start("--port", "0", "--no-access-log", "--workers", workers) as running:
            url = wait_for_log(running, r"Listening on (\S+)/ ")[1]
            pids = children(running.process.pid)
            with httpx.stream("GET", url + "/endless") as response:
                assert next(response.iter_raw()) == b"x"
                running.process.terminate()
                wait_for_refusal(url)
                assert running.process.poll() is None
                running.process.terminate()
                assert running.wait() == 143
            assert not any(alive(pid) for pid in pids)


def wait_for_count(served: Served, count: int) -> None:
    eventually(lambda: len(served.pids()) == count)


def wait_for_refusal(url: str) -> None:
    eventually(lambda: refuses_connections(url))


def refuses_connections(url: str) -> bool:
    try:
        httpx.get(url, timeout=PATIENCE)
    except httpx.ConnectError:
        return True
    except httpx.HTTPError:
        pass
    return False


def test_no_worker_outlives_its_parent() -> None:
    with start("--port", "0", *QUIET) as running:
        wait_for_log(running, "Listening")
        pids = children(running.process.pid)
        assert len(pids) == 2
        running.process.kill()
        running.process.wait(PATIENCE)
        eventually(lambda: not any(alive(pid) for pid in pids))


def test_crash_loop_backs_off() -> None:
    app = "tests.serve.apps:crashes"
    with start("--port", "0", "--workers", "2", "--lifespan", "on", app=app) as running:
        wait_for_log(running, "starting another one in 1 s")
        count = sum("ended by signal 9" in line for line in running.err)
        assert count <= 6
        running.process.terminate()
        assert running.wait() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_failed_startup_exits_with_3(workers: str) -> None:
    for app in ("tests.serve.apps:refuses", "tests.serve.apps:nothing", "tests.serve.none:app"):
        with start("--port", "0", "--workers", workers, app=app) as running:
            assert running.wait() == 3
            assert any("no database" in x or "has no" in x or "no module" in x for x in running.err)
