"""Where `cno serve` listens: the local network, Unix sockets, sockets of a parent process."""

import io
import os
import re
import socket
import subprocess
import sys
import time
from ipaddress import ip_address
from pathlib import Path

import pytest

from cno.cli.local_addresses import half_blocks, local_addresses, local_names, qr_code
from tests.cli.commands import POSIX, Here
from tests.cli.test_terminal import fetch, on_terminal, plain
from tests.processes import ENVIRONMENT, PATIENCE, Running, serving


def test_addresses_for_others() -> None:
    for address in local_addresses():
        assert not ip_address(address).is_loopback
    assert all(re.fullmatch(r"[a-z0-9.-]+", name) for name in local_names())


def test_names_that_dns_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, names in (
        ("Box", ["box", "box.local"]),
        ("a.example.", ["a.example"]),
        ("localhost", []),
        ("ü", []),
        ("", []),
        ("my box", []),
    ):
        monkeypatch.setattr(socket, "gethostname", lambda name=name: name)
        assert local_names() == names


@pytest.mark.slow
def test_the_local_network(tmp_path: Path) -> None:
    with serving(tmp_path, "--lan") as served:
        line = served.running.wait_for("On the local network: |No address")[0]
        if line.startswith("On"):
            text = "".join(served.running.out)
            for url in re.findall(r"http://(\S+):\d+/", text.partition("network:")[2]):
                assert url.strip("[]") in local_addresses()
        assert fetch(served.port).startswith(b"HTTP/1.1 200")
        assert "█" not in "".join(served.running.out)


@pytest.mark.slow
@POSIX
def test_a_browser_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}.part\nmv {seen}.part {seen}\n')
    browser.chmod(0o755)
    monkeypatch.setitem(ENVIRONMENT, "BROWSER", str(browser))
    (tmp_path / "site").mkdir()
    for host in ("127.0.0.1", "0.0.0.0"):
        with serving(tmp_path / "site", "--open", "--host", host) as served:
            deadline = time.monotonic() + PATIENCE
            while not seen.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            assert seen.read_text() == f"http://127.0.0.1:{served.port}/"
            seen.unlink()


@pytest.mark.slow
@POSIX
def test_a_qr_code_on_a_terminal(tmp_path: Path) -> None:
    pytest.importorskip("segno")
    if not local_addresses():
        pytest.skip("this machine has no other address")
    shown = plain(
        on_terminal("serve", "--lan", "--port", "0", cwd=tmp_path, steps=[("█▄".encode(), None)])
    )
    rows = [line for line in shown.splitlines() if line.startswith("█")]
    assert len(rows) > 10
    assert len({len(row) for row in rows}) == 1


def test_qr_codes() -> None:
    pytest.importorskip("segno")
    code = qr_code("http://192.0.2.1:8000/", io.TextIOWrapper(io.BytesIO(), "utf-8"))
    assert set(code) <= set("█▀▄ \n")
    assert qr_code("http://a/", io.TextIOWrapper(io.BytesIO(), "ascii")) == ""
    assert half_blocks([[0, 1], [1, 0], [0, 1]]) == "▀▄\n▀ "


def answer(sock: socket.socket) -> bytes:
    with sock:
        sock.settimeout(20)
        sock.sendall(b"GET / HTTP/1.1\r\nhost: any.example\r\nconnection: close\r\n\r\n")
        found = b""
        while data := sock.recv(65536):
            found += data
        return found


@pytest.mark.slow
@POSIX
def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    args = [sys.executable, "-m", "cno", "serve", ".", "--uds", str(path), "--uds-mode", "600"]
    with Running(args, cwd=tmp_path) as running:
        assert running.wait_for(r"unix:(\S+) serves")[1] == str(path)
        assert path.stat().st_mode & 0o777 == 0o600
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(path))
        assert answer(sock).startswith(b"HTTP/1.1 200")
        assert running.stop() == 0
    assert not path.exists()


@pytest.mark.slow
@POSIX
def test_a_socket_of_the_parent(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        args = [sys.executable, "-m", "cno", "serve", "--fd", str(listening.fileno())]
        process = subprocess.Popen(
            args,
            cwd=tmp_path,
            env=ENVIRONMENT,
            pass_fds=[listening.fileno()],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            assert "serves" in process.stdout.readline()
            sock = socket.create_connection(listening.getsockname(), 20)
            # It is on the loopback interface, where only local names are answered for.
            assert answer(sock).startswith(b"HTTP/1.1 421")
            assert fetch(listening.getsockname()[1]).startswith(b"HTTP/1.1 200")
        finally:
            process.terminate()
            process.communicate(timeout=20)
    assert process.returncode == 0


@POSIX
def test_sockets_that_cannot_be(here: Here, tmp_path: Path) -> None:
    for args, words in (
        (("--uds", str(tmp_path / "none" / "s")), "cannot listen on unix:"),
        (("--fd", "999"), "cannot listen on fd://999"),
        (("--uds", str(tmp_path / "s"), "--uds-mode", "999"), "cannot listen on unix:"),
    ):
        result = here("serve", *args)
        assert result.status == 1, result
        assert words in result.stderr
    assert os.listdir(tmp_path) == []
