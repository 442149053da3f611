"""gunicorn with `cno.gunicorn.Worker`."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import connect

from tests.peers import free_port
from tests.processes import Pair, Running, certificate, run
from tests.serve.server import CLEAN, alive, children, eventually, wait_for_log
from tests.tree import ROOT

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="asks Linux's /proc")

APP = "tests.serve.apps:app"


@contextmanager
def gunicorn(*options: str, app: str = APP, status: int = 0) -> Iterator[tuple[int, Running]]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-k", "cno.gunicorn.Worker", app]
    command += ["-b", f"127.0.0.1:{port}", *options]
    path = os.pathsep.join([CLEAN["PYTHONPATH"], str(ROOT)])
    with Running(command, ROOT, {**CLEAN, "PYTHONPATH": path}) as running:
        yield port, running
        if running.process.poll() is None:
            running.process.terminate()
        assert running.wait() == status, running.err


def test_both_protocols_log_and_signals() -> None:
    options = ("--access-logfile", "-", "--access-logformat", "%(r)s %(s)s", "-w", "2")
    with gunicorn(*options) as (port, running):
        running.wait_listening(port)
        url = f"http://127.0.0.1:{port}"
        found = httpx.get(url, headers={"x-forwarded-for": "10.0.0.1"}).json()
        assert (found["http_version"], found["client"]) == ("1.1", ["10.0.0.1", 0])
        done = run("curl", "-s", "--http2-prior-knowledge", url)
        assert '"http_version": "2"' in done.text
        before = children(running.process.pid)
        os.kill(running.process.pid, signal.SIGHUP)
        eventually(lambda: not before & children(running.process.pid))
        assert httpx.get(url).status_code == 200
    assert "GET / HTTP/1.1 200\n" in running.out and "GET / HTTP/2 200\n" in running.out


def test_tls(tmp_path: Path) -> None:
    pair: Pair = certificate(tmp_path)
    files = ("--certfile", str(pair.cert), "--keyfile", str(pair.key))
    with gunicorn(*files) as (port, running):
        running.wait_listening(port)
        done = run("curl", "-s", "--cacert", pair.authority.as_posix(), f"https://localhost:{port}")
        assert '"http_version": "2"' in done.text and '"scheme": "https"' in done.text


def test_websockets() -> None:
    with gunicorn() as (port, running):
        running.wait_listening(port)
        with connect(f"ws://127.0.0.1:{port}/") as socket:
            socket.send("hello")
            assert socket.recv() == "hello"
            with pytest.raises(ConnectionClosedOK):
                socket.recv()


def test_worker_is_replaced_after_its_requests() -> None:
    with gunicorn("--max-requests", "2") as (port, running):
        running.wait_listening(port)
        url = f"http://127.0.0.1:{port}"
        first = httpx.get(url).json()["pid"]
        httpx.get(url)
        eventually(lambda: not alive(first))
        assert httpx.get(url).json()["pid"] != first


def test_failed_startup_is_reported() -> None:
    with gunicorn(app="tests.serve.apps:refuses", status=3) as (_, running):
        wait_for_log(running, "no database")
        running.process.wait(20)
