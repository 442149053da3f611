"""SIGINT and SIGTERM end a server gracefully: tested in a separate process."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest

from cno import aio
from tests.aio.lab import HOST, Lab, hello
from tests.processes import ENVIRONMENT

#: Answers slowly, and says that it has begun to; `BEFORE` is run first.
SERVER = """
import asyncio, signal, sys
import cno

async def handle(request):
    print("begun", flush=True)
    await asyncio.sleep(DELAY)
    await request.respond(200, [], b"done")

async def main():
    BEFORE
    async with cno.serve(handle, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await SERVE
    print("after", flush=True)

RUN
"""
RUNNERS = {
    "asyncio": "asyncio.run(main())",
    "uvloop": "import uvloop; uvloop.run(main())",
}
SERVE = "server.serve_forever()"


def started(
    run: str, before: str = "pass", serve: str = SERVE, delay: float = 0.3
) -> "subprocess.Popen[str]":
    code = SERVER.replace("RUN", run).replace("BEFORE", before).replace("SERVE", serve)
    code = code.replace("DELAY", str(delay))
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def asked(process: "subprocess.Popen[str]") -> socket.socket:
    """A connection on which a request is being answered."""
    assert process.stdout is not None
    client = socket.create_connection((HOST, int(process.stdout.readline())), 20)
    client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert process.stdout.readline() == "begun\n"
    return client


def rest(client: socket.socket) -> bytes:
    with client:
        received = b""
        while piece := client.recv(4_096):
            received += piece
        return received


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("loop", RUNNERS)
def test_the_first_signal_lets_requests_finish(loop: str, number: int) -> None:
    process = started(RUNNERS[loop])
    with process:
        client = asked(process)
        process.send_signal(number)
        answer = rest(client)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"done")
        assert re.search(rb"(?i)connection: close", answer)
        output, errors = process.communicate(timeout=20)
        assert (process.returncode, output, errors) == (0, "after\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("loop", RUNNERS)
def test_the_second_signal_ends_the_process(loop: str, number: int) -> None:
    process = started(RUNNERS[loop], delay=20.0)
    with process:
        client = asked(process)
        process.send_signal(number)
        # Once no more connections are accepted, the first one has been seen.
        port = client.getpeername()[1]
        while True:
            try:
                socket.create_connection((HOST, port), 20).close()
            except OSError:
                break
        process.send_signal(number)
        assert process.wait(20) == -number
        client.close()


def test_several_servers_end_together() -> None:
    both = "asyncio.gather(server.serve_forever(), cno.serve(handle, '', 0).serve_forever())"
    process = started(RUNNERS["asyncio"], serve=both)
    with process:
        client = asked(process)
        process.send_signal(signal.SIGTERM)
        assert rest(client).endswith(b"done")
        output, errors = process.communicate(timeout=20)
        assert (process.returncode, output, errors) == (0, "after\n", "")


def test_a_server_that_begins_after_the_signal(lab: Lab) -> None:
    """Another one is ending by then."""

    async def main() -> None:
        async with aio.serve(hello, HOST, 0) as first, aio.serve(hello, HOST, 0) as second:
            serving = asyncio.ensure_future(first.serve_forever())
            await asyncio.sleep(0)
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0)
            await second.serve_forever()
            await serving

    lab.run(main())


def test_a_handler_of_the_application_is_left_alone() -> None:
    before = "signal.signal(signal.SIGTERM, lambda *_: print('mine', flush=True))"
    process = started(RUNNERS["asyncio"], before=before)
    with process:
        assert process.stdout is not None
        client = asked(process)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "mine\n"
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
        client.close()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
        assert (process.returncode, output, errors) == (0, "after\n", "")


def test_signals_are_as_before_once_it_has_ended(lab: Lab) -> None:
    async def main() -> None:
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        async with aio.serve(hello, HOST, 0) as listener:
            serving = asyncio.ensure_future(listener.serve_forever())
            await asyncio.sleep(0)
            assert signal.getsignal(signal.SIGTERM) != before[1]
            signal.raise_signal(signal.SIGTERM)
            await serving
        after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        assert after == before

    assert threading.current_thread() is threading.main_thread()
    lab.run(main())


def test_servers_of_other_threads_leave_signals_to_the_main_one(lab: Lab) -> None:
    serving = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    listeners: list[aio.Listener] = []

    def work() -> None:
        async def serve() -> None:
            async with aio.serve(hello, HOST, 0) as listener:
                listeners.append(listener)
                loops.append(asyncio.get_running_loop())
                loops[0].call_later(0.1, serving.set)
                await listener.serve_forever()

        asyncio.run(serve())

    async def main() -> None:
        async with aio.serve(hello, HOST, 0) as listener:
            ending = asyncio.ensure_future(listener.serve_forever())
            await asyncio.sleep(0)
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
            signal.raise_signal(signal.SIGTERM)
            await ending
        assert not listeners[0].sockets[0].fileno() < 0
        loops[0].call_soon_threadsafe(listeners[0].close)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert serving.wait(5)
    lab.run(main())
    thread.join(5)
    assert not thread.is_alive()
