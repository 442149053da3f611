"""Cases of the lifespan: what becomes of the process. Each starts a server."""

import signal
import subprocess
import time
from collections.abc import Callable
from typing import Final

from tests.asgi.behaviour import websocket
from tests.asgi.behaviour.servers import Server, receive, request, started
from tests.processes import PATIENCE, Running

#: Seconds that a server may take to end.
TO_END: Final = 8.0


def status(process: Running) -> str:
    """Return how a server ends."""
    try:
        code = process.process.wait(TO_END)
    except subprocess.TimeoutExpired:
        return "does not end"
    return f"exit status {code}" if code >= 0 else f"ended by signal {-code}"


def startup(kind: str, mode: str = "") -> Callable[[str], str]:
    """What a server does at its start."""

    def run(name: str) -> str:
        if mode and name not in ("cno", "uvicorn"):
            return "no such option"
        flags = ("--lifespan", mode) if mode else ()
        with started(name, *flags, lifespan=kind) as (process, port):
            return "serves" if serves(process, port) else status(process)

    return run


def serves(process: Running, port: int) -> bool:
    """Wait until a server answers, or ends; return whether it answers."""
    deadline = time.monotonic() + PATIENCE
    while process.process.poll() is None and time.monotonic() < deadline:
        try:
            if Server(port).ask("/plain").status == "200":
                return True
        except OSError:
            pass
        time.sleep(0.02)
    return False


def shutdown(kind: str) -> Callable[[str], str]:
    """How a server ends after SIGTERM."""

    def run(name: str) -> str:
        with started(name, lifespan=kind) as (process, port):
            process.wait_listening(port)
            if not serves(process, port):
                return "does not serve"
            process.process.send_signal(signal.SIGTERM)
            return status(process)

    return run


def with_request(name: str) -> str:
    """SIGTERM while a request is under way."""
    with started(name, lifespan="lives") as (process, port):
        process.wait_listening(port)
        with Server(port).connect() as sock:
            sock.sendall(request("/later"))
            Server(port).note("later")
            process.process.send_signal(signal.SIGTERM)
            outcome = receive(sock).outcome()
        return f"{outcome}; {status(process)}"


def with_websocket(name: str) -> str:
    """SIGTERM while a WebSocket is open."""
    with started(name, lifespan="lives") as (process, port):
        process.wait_listening(port)
        with websocket.opened(Server(port), "ws-echo") as client:
            process.process.send_signal(signal.SIGTERM)
            outcome = client.close()
        return f"{outcome}; {status(process)}"


CASES: Final[dict[str, Callable[[str], str]]] = {
    "`lifespan.startup.failed`": startup("refuses"),
    "Exception before the answer, or no lifespan": startup("raises"),
    "The same, with `--lifespan on`": startup("raises", "on"),
    "`lifespan.startup.failed`, with `--lifespan off`": startup("refuses", "off"),
    "Return without an answer": startup("returns"),
    "Return without an answer, with `--lifespan on`": startup("returns", "on"),
    "`lifespan.shutdown.failed`": shutdown("refuses-end"),
    "Exception in the shutdown": shutdown("raises-end"),
    "SIGTERM, without a request": shutdown("lives"),
    "SIGTERM, while a request is under way": with_request,
    "SIGTERM, while a WebSocket is open": with_websocket,
}
