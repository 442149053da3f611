"""`cno serve` as a process: the addresses that it listens on, TLS, a lack of descriptors."""

import asyncio
import errno
import os
import socket
import ssl
from pathlib import Path

import pytest

from cno.cli.clear_text import https_context
from cno.cli.problems import Reporter
from tests.cli.test_terminal import fetch
from tests.processes import PATIENCE, Pair, serving


def exchange(sock: socket.socket, request: bytes) -> bytes:
    """Send a request and return what comes until the end."""
    sock.sendall(request)
    received = b""
    while data := sock.recv(65536):
        received += data
    return received


@pytest.mark.slow
def test_plain_http_on_a_tls_port(tmp_path: Path, pair: Pair) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with serving(tmp_path, "--cert", str(pair.cert), "--key", str(pair.key)) as served:
        with socket.create_connection(("127.0.0.1", served.port), PATIENCE) as sock:
            answer = exchange(sock, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.endswith(b"\r\n\r\nThis port speaks TLS: the URL begins with https:\n")
        context = ssl.create_default_context(cafile=str(pair.cert))
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", served.port), PATIENCE) as raw,
            context.wrap_socket(raw) as sock,
        ):
            request = b"GET /a.txt HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
            assert exchange(sock, request).endswith(b"hello")


def test_the_answer_in_clear_text_is_made_once() -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    made = https_context().wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ssl.SSLWantReadError):
        made.do_handshake()
    assert outgoing.read().startswith(b"HTTP/1.1 400 ")
    incoming.write(b"more")
    with pytest.raises(ssl.SSLError, match="HTTP_REQUEST"):
        made.do_handshake()
    assert outgoing.read() == b""


@pytest.mark.slow
def test_all_interfaces_are_of_both_versions(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "::") as served:
        assert fetch(served.port).startswith(b"HTTP/1.1 200 ")
        if socket.has_ipv6:
            with socket.create_connection(("::1", served.port), PATIENCE) as sock:
                request = b"GET / HTTP/1.1\r\nhost: [::1]\r\nconnection: close\r\n\r\n"
                assert exchange(sock, request).startswith(b"HTTP/1.1 200 ")


def test_a_lack_of_descriptors_is_reported_once_a_second() -> None:
    lines: list[str] = []
    now = 100.0

    class Loop(asyncio.SelectorEventLoop):
        def time(self) -> float:
            return now

    loop = Loop()
    try:
        report = Reporter(lines.append)
        missing = {"message": "x", "exception": OSError(errno.EMFILE, os.strerror(errno.EMFILE))}
        for _ in range(50):
            report(loop, missing)
        assert lines == ["cno: no connection can be accepted: Too many open files"]
        report(loop, {"message": "another"})
        now += 1.5
        report(loop, missing)
        assert len(lines) == 3
    finally:
        loop.close()
