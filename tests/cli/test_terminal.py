"""The command line as a process: its messages, exit statuses, signals and terminal.

An error of the user or the network is one line, never a traceback.
"""

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cno._build import VERSION
from tests.cli.commands import POSIX, Here, answering, one_line
from tests.peers import free_port
from tests.processes import ENVIRONMENT, PATIENCE, Pair, Running, certificate, cno, serving

# -- help and usage ------------------------------------------------------------------------------


def test_help() -> None:
    for args in (["--help"], ["-h"]):
        result = cno(*args)
        assert (result.status, result.stderr) == (0, "")
        assert re.search(r"\n  get +Fetch URLs", result.text)
        assert re.search(r"\n  serve +Serve the files", result.text)
    for command in ("serve", "get"):
        result = cno(command, "--help")
        assert (result.status, result.stderr) == (0, "")
        assert result.text.startswith(f"Usage: cno {command} ")
        assert "Traceback" not in result.text


def test_version() -> None:
    result = cno("--version")
    assert (result.status, result.stderr) == (0, "")
    assert re.fullmatch(rf"cno {re.escape(VERSION)} \((compiled|pure Python)\)\n", result.text)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nonsense"], "No such command"),
        (["serve", "--port", "x"], "--port"),
        (["serve", "--port", "65536"], "--port"),
        (["serve", "--port", "-1"], "--port"),
        (["serve", "a", "b"], "unexpected extra argument"),
        (["serve", "--key", "x"], "--key needs --cert"),
        (["serve", "--cert", "x", "--self-signed"], "leave out --cert"),
        (["get"], "Missing argument"),
        (["get", "--nonsense", "x"], "No such option"),
        (["get", "-o", "x", "a", "b"], "-o is for one URL"),
        (["get", "-o", "x", "-O", "a"], "-o is for one URL"),
        (["get", "-I", "-d", "x", "a"], "leave out -d"),
        (["get", "-H", "x", "a"], "should be 'name: value'"),
        (["get", "-H", "x: y\r\nz: 1", "a"], "should be 'name: value'"),
        (["get", "--max-time", "0", "a"], "--max-time"),
        (["get", "--max-time", "x", "a"], "--max-time"),
    ],
)
def test_usage(here: Here, args: list[str], words: str) -> None:
    result = here(*args)
    assert (result.status, result.stdout) == (2, b"")
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_package_is_missing(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules[{!r}] = None; sys.argv = ['cno', *{!r}];"
        "import runpy; runpy.run_module('cno', run_name='__main__')"
    )

    def run(missing: str, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code.format(missing, args)],
            env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip  # one thing

    done = run("click", "serve", "x")
    assert done.returncode == 1
    assert done.stderr == "cno: the command line needs click. Install it: pip install 'cno[cli]'\n"
    done = run("trustme", "serve", "--self-signed")
    assert done.returncode == 1
    assert done.stderr == "cno: --self-signed needs trustme: pip install 'cno[cli]'\n"


def test_the_handler_needs_no_other_package() -> None:
    code = (
        "import sys; sys.modules.update(click=None, rich=None, trustme=None)\n"
        "from cno.cli import Files; print(Files('.').root)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip  # one thing
    assert done.stdout == os.path.realpath(".") + "\n", done.stderr


# -- serve: errors -------------------------------------------------------------------------------


def test_no_such_folder(here: Here) -> None:
    line = one_line(here("serve", "none"))
    hint = "(an application is MODULE:NAME)"
    assert line == f"cno: cannot serve none: No such file or directory {hint}"


def test_a_port_in_use(here: Here) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        line = one_line(here("serve", "--port", str(port)))
        assert line == f"cno: cannot listen on 127.0.0.1:{port}: address already in use"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "256.256.256.256", "a b", "x" * 300])
def test_no_such_host(here: Here, host: str) -> None:
    line = one_line(here("serve", "--port", "0", "--host", host))
    assert line.startswith(f"cno: cannot listen on {host}:0: ")


def test_bad_certificates(here: Here, tmp_path: Path, pair: Pair) -> None:
    (tmp_path / "text").write_text("no certificate")
    other = tmp_path / "other"
    other.mkdir()
    text, another = str(tmp_path / "text"), certificate(other)
    for options, words in (
        (["--cert", "none"], "no such file: none"),
        (["--cert", str(pair.cert), "--key", "none"], "no such file: none"),
        (["--cert", text], "TLS failed"),
        (["--cert", str(pair.cert)], "its private key is not in it: --key FILE"),
        (["--cert", str(pair.cert), "--key", text], "TLS failed"),
        (["--cert", str(pair.cert), "--key", str(another.key)], "key values mismatch"),
        (["--cert", str(tmp_path)], "no such file"),
    ):
        line = one_line(here("serve", "--port", "0", *options))
        assert line.startswith("cno: cannot use the certificate") and words in line


# -- serve: messages and signals -----------------------------------------------------------------


def fetch(port: int, path: str = "/") -> bytes:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        sock.sendall(
            f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode()
        )
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_the_announcement(tmp_path: Path, pair: Pair) -> None:
    with serving(tmp_path) as served:
        (line,) = served.running.out
        root = re.escape(os.path.realpath(tmp_path))
        assert re.fullmatch(
            rf"http://127\.0\.0\.1:{served.port}/ serves {root} over HTTP/2 and HTTP/1\.1\n", line
        )
        assert fetch(served.port).startswith(b"HTTP/1.1 200 ")
    with serving(tmp_path, "--cert", str(pair.cert), "--key", str(pair.key)) as served:
        assert served.url.startswith("https://127.0.0.1:")
    with serving(tmp_path, "--host", "localhost") as served:
        assert fetch(served.port).startswith(b"HTTP/1.1 200 ")


def test_self_signed_names(tmp_path: Path) -> None:
    with serving(tmp_path, "--self-signed", "--host", "127.0.0.2") as served:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.2", served.port), PATIENCE) as raw,
            context.wrap_socket(raw) as sock,
        ):
            blob = sock.getpeercert(binary_form=True) or b""
    for name in (b"localhost", socket.inet_aton("127.0.0.1"), socket.inet_aton("127.0.0.2")):
        assert name in blob


def test_quiet(tmp_path: Path) -> None:
    port = free_port()
    args = [sys.executable, "-m", "cno", "serve", "-q", "--log", "--port", str(port)]
    with Running(args, cwd=tmp_path) as running:
        running.wait_listening(port)
        assert fetch(port).startswith(b"HTTP/1.1 200 ")
        assert (running.stop(), running.out, running.err) == (0, [], [])


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(tmp_path: Path, number: int) -> None:
    with serving(tmp_path, "--log") as served:
        with socket.create_connection(("127.0.0.1", served.port), PATIENCE) as idle:
            assert fetch(served.port, "/x\x7f").startswith(b"HTTP/1.1 400 ")
            assert fetch(served.port, "/none?%1b").startswith(b"HTTP/1.1 404 ")
            served.running.process.send_signal(number)
            assert idle.recv(1) == b""
        assert served.running.wait() == 0
        (line,) = served.running.out[1:]
        assert re.fullmatch(
            r"\d\d:\d\d:\d\d 127\.0\.0\.1 GET /none\?%1b HTTP/1\.1 404 \d+ \d+\.\dms\n", line
        )


@contextmanager
def slow_download(tmp_path: Path, *options: str) -> Iterator[tuple[Running, socket.socket]]:
    """Run a server that is sending a file to a client that has stopped reading."""
    with open(tmp_path / "large", "wb") as file:
        file.truncate(50_000_000)
    args = [sys.executable, "-m", "cno", "serve", str(tmp_path), "--port", "0", *options]
    with Running(args) as running:
        port = int(running.wait_for(r":(\d+)/ ")[1])
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            sock.sendall(b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert sock.recv(5) == b"HTTP/"
            yield running, sock


@POSIX
def test_what_has_begun_is_finished(tmp_path: Path) -> None:
    with slow_download(tmp_path) as (running, sock):
        running.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert running.process.poll() is None
        size = sum(map(len, iter(lambda: sock.recv(1 << 20), b"")))
        assert size > 50_000_000
        assert running.wait() == 0
        assert running.err == []


@POSIX
def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    with slow_download(tmp_path) as (running, _):
        running.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert running.process.poll() is None
        running.process.send_signal(signal.SIGINT)
        assert running.wait(3) == -signal.SIGINT
        assert running.err == []


def test_clients_that_go_leave_no_trace(tmp_path: Path) -> None:
    with slow_download(tmp_path) as (running, sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()  # by a reset
        time.sleep(0.3)
        assert running.stop() == 0
        assert running.err == []


def ask_as(port: int, fields: str, host: str = "127.0.0.1") -> int:
    """Return the status of a request with this Host line ('': none)."""
    with socket.create_connection((host, port), PATIENCE) as sock:
        sock.sendall(f"GET / HTTP/1.{int(bool(fields))}\r\n{fields}\r\n".encode())
        return int(sock.recv(65536).split(b" ")[1])


def test_hosts_that_are_answered_for(tmp_path: Path) -> None:
    """On loopback, a web page of another name must not read files (DNS rebinding)."""
    with serving(tmp_path) as served:
        for host, status in (
            *((name, 200) for name in ("localhost", "LOCALHOST:80", "app.localhost", "127.0.0.1")),
            *((name, 200) for name in ("[::1]:8000", "192.168.1.2:1")),
            *((name, 421) for name in ("evil.example", "localhost.evil.example", "127.0.0.1.evil")),
        ):
            assert ask_as(served.port, f"host: {host}\r\n") == status, host
        assert ask_as(served.port, "") == 200  # HTTP/1.0
        for version in ("--http1.1", "--http2"):
            result = cno("get", version, "-i", "-H", "host: evil.example", served.url)
            assert b" 421" in result.stdout.partition(b"\r\n")[0]
            assert b"--allow-host NAME" in result.stdout and b"evil" not in result.stdout
    with serving(tmp_path, "--allow-host", "good.example", "--allow-host", ".test") as served:
        for host, status in (("good.example:1", 200), ("a.test", 200), ("b.example", 421)):
            assert ask_as(served.port, f"host: {host}\r\n") == status
    with serving(tmp_path, "--allow-host", "*") as served:
        assert ask_as(served.port, "host: evil.example\r\n") == 200


@POSIX
def test_hosts_of_a_server_that_others_reach(tmp_path: Path) -> None:
    """All hosts, unless there is an --allow-host."""
    port = free_port()
    args = [
        sys.executable,
        "-m",
        "cno",
        "serve",
        "-q",
        "--host",
        "0.0.0.0",
        "--port",
        str(port),
    ]  # the point
    for options, status in (([], 200), (["--allow-host", "good.example"], 421)):
        with Running([*args, *options], cwd=tmp_path) as running:
            running.wait_listening(port)
            assert ask_as(port, "host: any.example\r\n") == status
            assert ask_as(port, "host: good.example\r\n") == 200
            assert running.stop() == 0


def pipelined(port: int, count: int) -> None:
    """Send `count` requests over one connection. Raises TimeoutError without a response."""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        for _ in range(count // 50):
            path = "/a?" + "q" * 100
            sock.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode() * 50)
            seen = b""
            while seen.count(b"HTTP/1.1 200 ") < 50 or not seen.endswith(b"\r\n\r\nx"):
                seen += sock.recv(65536)
            time.sleep(0.005)


@contextmanager
def logging_server(folder: Path) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Run `cno serve --log`, and read only the first line of its standard output."""
    (folder / "a").write_text("x")
    args = [sys.executable, "-m", "cno", "serve", str(folder), "--port", "0", "--log"]
    pipe = subprocess.PIPE
    with subprocess.Popen(args, env=ENVIRONMENT, stdout=pipe, stderr=pipe) as process:
        try:
            assert process.stdout is not None
            match = re.search(rb":(\d+)/ ", process.stdout.readline())
            assert match is not None
            yield process, int(match[1])
        finally:
            process.kill()


@POSIX
def test_a_log_that_nobody_reads(tmp_path: Path) -> None:
    with logging_server(tmp_path) as (process, port):
        pipelined(port, 3_000)  # much more than a pipe holds
        assert fetch(port, "/a").endswith(b"x")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stdout is not None and process.stderr is not None
        lines = process.stdout.read().splitlines(keepends=True)
        said = process.stderr.read().decode()
    pattern = rb"[\d:]{8} 127\.0\.0\.1 GET /a\?q{100} HTTP/1\.1 200 1 \d+\.\dms\n"
    assert all(re.fullmatch(pattern, line) for line in lines) and len(lines) > 100
    match = re.fullmatch(r"cno: ([\d,]+) lines were not written: nobody reads them\n", said)
    assert match is not None
    assert len(lines) + int(match[1].replace(",", "")) == 3_001


@POSIX
def test_a_log_whose_reader_goes(tmp_path: Path) -> None:
    with logging_server(tmp_path) as (process, port):
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        for _ in range(3):
            assert fetch(port, "/a").endswith(b"x")
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr.read() == b"cno: lines are no longer written: Broken pipe\n"


# -- get -----------------------------------------------------------------------------------------


def test_nobody_there(here: Here) -> None:
    url = f"127.0.0.1:{free_port()}"
    assert one_line(cno("get", url)) == f"cno: cannot connect to {url}: Connection refused"
    line = one_line(here("get", "http://no-such-host.invalid/"))
    assert line.startswith("cno: cannot connect to no-such-host.invalid: ")
    result = here("get", url, url)
    assert (result.status, len(result.stderr.splitlines())) == (7, 2)


@pytest.mark.parametrize(
    "url",
    ["http://", "ftp://a/", "http://[::1", "http://a:x/", "http://a:99999/", "http://u:p@a/", ""],
)
def test_bad_urls(here: Here, url: str) -> None:
    one_line(here("get", url))


def test_files_that_cannot_be(here: Here) -> None:
    assert "No such file" in one_line(here("get", "-d", "@none", "a"))
    assert "No such file" in one_line(here("get", "--cacert", "none", "https://a"))
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx") as url:
        assert "no such folder" in one_line(here("get", "-o", "none/x", url))
    assert list(here.folder.iterdir()) == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\na b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
    ],
)
def test_bad_answers(here: Here, answer: bytes) -> None:
    with answering(answer) as url:
        assert one_line(here("get", url)).startswith(f"cno: {url}: ")


def test_a_redirect_does_not_choose_the_protocol(here: Here) -> None:
    with answering(b"HTTP/1.1 302 Found\r\nlocation: h2c://127.0.0.1/\r\n\r\n") as url:
        assert "neither http: nor https:" in one_line(here("get", "-L", "--http1.1", url))
    line = one_line(here("get", "--http1.1", f"h2c://127.0.0.1:{free_port()}/"))
    assert line.endswith("h2: and h2c: are HTTP/2, which --http1.1 rules out")


def test_a_body_that_is_cut_short(here: Here) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"
    with answering(answer, answer) as url:
        result = here("get", url)
        assert (result.status, result.stdout) == (18, b"hello")
        assert len(result.stderr.splitlines()) == 1
        one_line(here("get", "-o", "file", url))
        assert list(here.folder.iterdir()) == []


def test_not_http2(here: Here) -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n") as url:
        one_line(here("get", "--http2", url))


def test_max_time(here: Here) -> None:
    with answering(b"HTTP/1.1 200 OK\r\n", hold=True) as url:
        began = time.monotonic()
        line = one_line(here("get", "--max-time", "0.5", url))
        assert line == "cno: timed out after 0.5 s"
        assert time.monotonic() - began < 5


def test_max_time_ends_a_lookup(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command does not wait for the thread that waits for DNS."""
    asked = threading.Event()
    release = threading.Event()

    def silent(*_: object, **__: object) -> list[object]:
        asked.set()
        release.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    began = time.monotonic()
    line = one_line(here("get", "--max-time", "0.3", "http://a.example/"))
    assert line == "cno: timed out after 0.3 s"
    assert asked.is_set() and time.monotonic() - began < 10
    release.set()


def test_no_thread_is_left(here: Here) -> None:
    before = threading.active_count()
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx") as url:
        assert here("get", url).stdout == b"x"
        here("get", f"http://127.0.0.1:{free_port()}/")
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() <= before


def test_one_of_several_fails(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    with serving(tmp_path) as served:
        dead = f"http://127.0.0.1:{free_port()}/"
        result = cno("get", f"{served.url}a", dead, f"{served.url}a")
        assert (result.status, result.stdout) == (7, b"aa")
        assert result.stderr.startswith("cno: cannot connect")


@POSIX
def test_ctrl_c() -> None:
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello\n", hold=True) as url:
        with Running([sys.executable, "-m", "cno", "get", url]) as running:
            running.wait_for("hello")
            assert running.stop() == 130
            assert running.err in ([], ["\n"])


@POSIX
def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(5_000_000)
    with serving(tmp_path) as served:
        args = [sys.executable, "-m", "cno", "get", f"{served.url}large"]
        pipe = subprocess.PIPE
        with subprocess.Popen(args, env=ENVIRONMENT, stdout=pipe, stderr=pipe) as process:
            assert process.stdout is not None and process.stderr is not None
            assert process.stdout.read(10) == bytes(10)
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(PATIENCE) == 141


@POSIX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_no_temporary_file(tmp_path: Path, number: int) -> None:
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("ignored, as `nohup` has it: it stays so")
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", hold=True) as url:
        args = [sys.executable, "-m", "cno", "get", "-o", "file", url]
        with Running(args, cwd=tmp_path) as running:
            deadline = time.monotonic() + PATIENCE
            while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert list(tmp_path.iterdir())
            assert running.stop(number) == 128 + number
            assert list(tmp_path.iterdir()) == []


def test_two_names_one_the_part_of_the_other(tmp_path: Path) -> None:
    """Both files are complete, and no existing file is lost."""
    folder, here = tmp_path / "from", tmp_path / "to"
    folder.mkdir()
    here.mkdir()
    (folder / "f").write_bytes(b"A" * 200_000)
    (folder / "f.part").write_bytes(b"B" * 1_000)
    (folder / "keep").write_bytes(b"new")
    (here / "keep.part").write_bytes(b"the user's")
    with serving(folder) as served:
        for urls in (["f", "f.part"], ["f.part", "f"]):
            result = cno("get", "-O", *(f"{served.url}{name}" for name in urls), cwd=here)
            assert (result.status, result.stderr) == (0, "")
            assert (here / "f").read_bytes() == b"A" * 200_000
            assert (here / "f.part").read_bytes() == b"B" * 1_000
        assert cno("get", "-o", "keep", f"{served.url}keep", cwd=here).status == 0
    assert (here / "keep").read_bytes() == b"new"
    assert (here / "keep.part").read_bytes() == b"the user's"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such files")
@pytest.mark.parametrize("opened", [False, True])
def test_max_time_ends_a_pipe_nobody_reads(tmp_path: Path, opened: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "large", "wb") as file:
        file.truncate(5_000_000)
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK) if opened else -1
    with serving(tmp_path) as served:
        began = time.monotonic()
        args = ["get", "--max-time", "1", "-o", "pipe", f"{served.url}large"]
        result = cno(*args, cwd=tmp_path, timeout=20)
        assert result.status == 28
        assert re.fullmatch(r"cno: timed out after 1 s(: [\d,]+ bytes came)?\n", result.stderr)
        assert time.monotonic() - began < 10
    if opened:
        os.close(reader)


@POSIX
def test_a_name_of_standard_output(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    with serving(tmp_path) as served:
        result = cno("get", "-o", "/dev/stdout", f"{served.url}a", cwd=tmp_path)
        assert (result.status, result.stdout) == (0, b"hello")
        with open(tmp_path / "out", "wb") as out:
            args = [sys.executable, "-m", "cno", "get", "-o", "/dev/stdout", f"{served.url}a"]
            subprocess.run(args, env=ENVIRONMENT, stdout=out, timeout=PATIENCE, check=True)
    assert (tmp_path / "out").read_bytes() == b"hello"
    assert os.path.islink("/dev/stdout")


# -- terminals -----------------------------------------------------------------------------------


#: The end of the first line, on a terminal.
UP = b" and HTTP/1.1\r\n"
#: Actions to do in order, each after its text is on the terminal; None: Ctrl-C.
Steps = Sequence[tuple[bytes, Callable[[], object] | None]]
NONE: Mapping[str, str] = {}


def on_terminal(
    *args: str, cwd: Path, steps: Steps = (), variables: Mapping[str, str] = NONE
) -> str:
    """Return the text that a command writes to a terminal."""
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cno", *args],
        cwd=cwd,
        env={**ENVIRONMENT, "TERM": "xterm-256color", **variables},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    try:
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux: the other side is closed
                break
            if not part:
                break
            seen += part
            while steps and steps[0][0] in seen:
                (_, action), *steps = steps
                if action is None:
                    process.send_signal(signal.SIGINT)
                else:
                    action()
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return seen.decode()


def plain(text: str) -> str:
    """Remove the colours, and check that no other control characters are left."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "\x1b" not in text.replace("\x1b[?25l", "").replace("\x1b[?25h", "")
    return text.replace("\r\n", "\n")


@POSIX
def test_dressed_up(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, "\\u001b[31m"]}')
    (tmp_path / "b.txt").write_bytes(b"red: \x1b[31m \x9b31m \xff\n" + b"text\n" * 10)
    (tmp_path / "c.bin").write_bytes(bytes(2000))
    with serving(tmp_path) as served:
        seen = on_terminal("get", f"{served.url}a.json", cwd=tmp_path)
        assert "\x1b[" in seen
        text = plain(seen)
        assert text.startswith("HTTP/1.1 200 OK\ncontent-type: application/json\n")
        lines = [line.rstrip() for line in text.splitlines()]
        assert lines[lines.index("{") :] == [
            "{",
            '  "a": [',
            "    1,",
            '    "\\u001b[31m"',
            "  ]",
            "}",
        ]
        text = plain(on_terminal("get", f"{served.url}b.txt", cwd=tmp_path))
        assert text.endswith("\n\nred: \u241b[31m \ufffd31m \ufffd\n" + "text\n" * 10)
        text = plain(on_terminal("get", f"{served.url}c.bin", cwd=tmp_path))
        assert text.endswith("\n\n(binary, 2.0 KiB or more: use -o FILE)\n")
        assert "\0" not in text


HOSTILE = {
    "application/json": (
        b'{"\\u009b31m": "\\u202egnp.exe \\u001b[31m\\u007f\\u0085\\u009d0;x\\u009c"}'
    ),
    "application/x+json": b'["\\ud800"]',
    "application/problem+json": b'{"a": "\x1b[31m \xc2\x9b31m"}',
    "text/html": b"<p>\x1b[31m \xc2\x9b31m &#155; \xe2\x80\xae</p>\x1b]0;x\x07",
    "text/plain": b"a\x1b[31m \xc2\x9b31m \xe2\x80\xae\xe2\x81\xa6 \x07",
    "text/plain; charset=latin-1": b"a\x1b[31m \x9b31m \x85 \x07",
    "text/plain; charset=unicode_escape": b"a\\x1b[31m \\u009b31m \\ud800",
    "text/plain; charset=utf-7": b"+AJs-31m+ABs-[31m",
    "text/x\xc2\x9b31m": b"abc",
}


@POSIX
@pytest.mark.parametrize("options", [[], ["-v"]])
@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_of_a_server_is_obeyed(tmp_path: Path, kind: str, options: list[str]) -> None:
    body = HOSTILE[kind]
    fields = f"content-type: {kind}\r\nx-evil: a\xc2\x9b31m\xe2\x80\xae \xc2\x85\r\n"
    head = f"HTTP/1.1 200 \xc2\x9b31m\r\n{fields}content-length: {len(body)}\r\n\r\n"
    with answering(head.encode("latin-1") + body) as url:
        text = plain(on_terminal("get", *options, url, cwd=tmp_path))
    assert len(text) > 10 and "Traceback" not in text
    bad = {c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"}
    assert not bad | (set(text) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2028\u0085"))


@POSIX
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"[" * 900 + b",".join([b"1"] * 19_000) + b"]" * 900),
        ("text/html", b"&" * 65_000),
        ("text/javascript", b'"\\' * 32_500),
    ],
)
def test_what_would_take_long_or_become_large_is_plain(
    tmp_path: Path, kind: str, body: bytes
) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    began = time.monotonic()
    with answering(head.encode() + body) as url:
        text = plain(on_terminal("get", url, cwd=tmp_path))
    assert text.rstrip("\n").endswith("\n\n" + body.decode())
    assert time.monotonic() - began < 20


@POSIX
def test_max_time_ends_the_highlighting(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 250000\r\n\r\n"
    with answering(head + b"&" * 250_000) as url:
        text = plain(on_terminal("get", "--max-time", "0.6", url, cwd=tmp_path))
    assert "cno: timed out after 0.6 s" in text.splitlines()[-1]
    assert "&" not in text


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, None])
def test_output_that_nobody_reads(tmp_path: Path, number: int | None) -> None:
    """Signals and --max-time end a command that cannot write."""
    with open(tmp_path / "large", "wb") as file:
        file.truncate(5_000_000)
    with serving(tmp_path) as served:
        options = ["--max-time", "1"] if number is None else []
        args = [sys.executable, "-m", "cno", "get", *options, f"{served.url}large"]
        pipe = subprocess.PIPE
        with subprocess.Popen(args, env=ENVIRONMENT, stdout=pipe, stderr=pipe) as process:
            assert process.stdout is not None and process.stderr is not None
            assert process.stdout.read(10) == bytes(10)
            if number is not None:
                time.sleep(0.3)
                process.send_signal(number)
            assert process.wait(15) == (28 if number is None else 128 + number)
            said = process.stderr.read()
            assert said.strip().startswith(
                b"" if number is not None else b"cno: timed out after 1 s"
            )


@POSIX
def test_a_terminal_is_no_file(tmp_path: Path) -> None:
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\x1b]0;") as url:
        seen = on_terminal("get", "-o", "/dev/stdout", url, cwd=tmp_path)
    assert "cno: /dev/stdout is a terminal: leave out -o\r\n" in seen
    assert "\x1b]" not in seen


@POSIX
def test_a_bar(tmp_path: Path) -> None:
    (tmp_path / "[red]x").write_bytes(bytes(3_000_000))
    with serving(tmp_path) as served:
        seen = on_terminal(
            "get", "-O", f"{served.url}%5Bred%5Dx", f"{served.url}none", cwd=tmp_path
        )
    assert "[red]x" in seen
    assert "3.0/3.0 MB" in seen
    assert (tmp_path / "[red]x").stat().st_size == 3_000_000


@POSIX
def test_a_bar_of_a_file_that_is_continued(tmp_path: Path) -> None:
    """The bar begins where the file ends."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "x").write_bytes(bytes(3_000_000))
    (tmp_path / "x").write_bytes(bytes(1_000_000))
    with serving(site) as served:
        seen = on_terminal("get", "-C", "-", "-O", f"{served.url}x", cwd=tmp_path)
    assert "3.0/3.0 MB" in seen
    assert (tmp_path / "x").read_bytes() == bytes(3_000_000)


@POSIX
def test_a_log_in_colours(tmp_path: Path) -> None:
    port = free_port()

    steps: Steps = [(UP, lambda: fetch(port, "/[bold]none")), (b"none", None)]
    text = plain(on_terminal("serve", "--port", str(port), cwd=tmp_path, steps=steps))
    assert re.search(r"\n\d\d:\d\d:\d\d 127\.0\.0\.1 GET /\[bold\]none HTTP/1\.1 404 ", text)


@POSIX
def test_whoever_waits_is_told_what_for(tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(50_000_000)
    port = free_port()
    with socket.socket() as client:

        def ask() -> None:
            client.connect(("127.0.0.1", port))
            client.sendall(b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert client.recv(5) == b"HTTP/"

        args = ["serve", "--no-log", "--port", str(port)]
        steps: Steps = [(UP, ask), (UP, None), (b"at once\r\n", None)]
        text = plain(on_terminal(*args, cwd=tmp_path, steps=steps))
    assert text.endswith("\nfinishing 1 connection; Ctrl-C again ends them at once\n")
