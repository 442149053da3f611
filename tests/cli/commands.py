"""Commands run within the test's own process, and a server that sends prepared bytes."""

import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cno.cli.app import run_app
from cno.trace.frame_reader import FrameReader
from tests import frames as f
from tests.processes import PATIENCE, Result

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and terminals of POSIX")


class Here:
    """Runs commands within this process, which is fast, in a temporary folder."""

    def __init__(self, capture: pytest.CaptureFixture[bytes], folder: Path) -> None:
        self._capture = capture
        self.folder = folder

    def __call__(self, *args: str) -> Result:
        status = run_app(list(args))
        out, err = self._capture.readouterr()
        return Result(status, out, err.decode())


def one_line(result: Result, status: int | None = None) -> str:
    """Return the one line of a command that failed, with this status or any but that of usage."""
    assert result.status not in (0, 2) if status is None else result.status == status, result
    assert result.stdout == b""
    (line,) = result.stderr.splitlines()
    assert line.startswith("cno: ")
    return line


@contextmanager
def answering(*answers: bytes, hold: bool = False) -> Iterator[str]:
    """Serve one connection for each answer, and send it. `hold`: then keep the connection open."""
    stop = threading.Event()

    def answer(listener: socket.socket) -> None:
        for octets in answers:
            while not (stop.is_set() or select.select([listener], [], [], 0.1)[0]):
                pass
            if stop.is_set():
                return
            with listener.accept()[0] as sock:
                sock.settimeout(PATIENCE)
                sock.recv(65536)
                sock.sendall(octets)
                if hold:
                    stop.wait(PATIENCE)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            stop.set()
            thread.join()


@contextmanager
def scripted(*frames: bytes) -> Iterator[str]:
    """Serve one connection of HTTP/2: send these frames once there is a request."""

    def serve() -> None:
        with listener.accept()[0] as sock:
            sock.settimeout(PATIENCE)
            reader = FrameReader(len(f.PREFACE))
            sock.sendall(f.FrameFactory().settings())
            while not any(frame.type == f.HEADERS for frame in reader.feed(sock.recv(65_536))):
                pass
            sock.sendall(b"".join(frames))
            while sock.recv(65_536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join(PATIENCE)
