"""Every option of `cno serve MODULE:NAME`, by what it means; and the ways to give it."""

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from dataclasses import fields
from pathlib import Path
from typing import Unpack, get_type_hints

import httpx
import pytest
from websockets.sync.client import connect

from cno.asgi.server.config import Config, flag, options, variables
from cno.asgi.server.run import run
from cno.asgi.server.run_options import RunOptions
from tests.processes import PATIENCE, Pair, certificate, cno
from tests.serve.server import Served, eventually, serving, start, wait_for_log

QUIET = "--no-access-log"

# Each option and the test of its meaning.
TESTED = {
    "host port bind": "test_bind_listens_on_several_addresses",
    "uds uds_mode": "test_unix_socket_has_its_mode_and_is_removed",
    "fd": "test_inherited_descriptor",
    "backlog log_level headers server_header date_header root_path": "test_responses_and_log",
    "factory app_dir env_file loop lifespan": "test_application_is_found",
    "reload reload_dirs reload_includes reload_excludes reload_delay": "test_reload",
    "workers limit_max_requests worker_max_rss worker_lifetime timeout_worker_healthcheck": (
        "tests/serve/test_workers.py"
    ),
    "limit_max_requests_jitter": "test_process_ends_after_its_requests",
    "timeout_graceful_shutdown": "test_graceful_shutdown_has_an_end",
    "limit_concurrency": "test_too_many_requests_get_503",
    "timeout_keep_alive": "test_idle_connection_is_closed",
    "log_config use_colors": "test_log_configuration",
    "access_log access_log_format": "tests/serve/test_access_log.py",
    "proxy_headers forwarded_allow_ips": "test_forwarded_client",
    "proxy_protocol": "test_proxy_protocol",
    "ssl_keyfile ssl_certfile ssl_keyfile_password ssl_version ssl_cert_reqs ssl_ca_certs "
    "ssl_ciphers": "test_tls",
    "ws ws_max_size ws_max_queue ws_ping_interval ws_ping_timeout ws_per_message_deflate": (
        "test_websockets"
    ),
}


def test_each_option_is_tested() -> None:
    named = [name for names in TESTED for name in names.split()]
    assert sorted(named) == sorted(each.name for each in options())
    for test in TESTED.values():
        assert test in globals() or os.path.exists(test)


def test_bind_listens_on_several_addresses(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    binds = ("--bind", "127.0.0.1:0", "--bind", f"unix:{path}", QUIET)
    with serving(*binds) as served:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert client.get("http://localhost/").json()["client"] is None
    with serving("--host", "::1", QUIET) as served:
        assert served.url.startswith("http://[::1]:")
        assert served.ask()["client"][0] == "::1"


def test_unix_socket_has_its_mode_and_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    for workers in ("1", "2"):
        options = ("--uds", str(path), "--uds-mode", "600", "--workers", workers, QUIET)
        with start(*options) as running:
            wait_for_log(running, f"Listening on unix:{path}")
            assert path.stat().st_mode & 0o777 == 0o600
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
                assert client.get("http://localhost/").status_code == 200
            assert running.stop(signal.SIGTERM) == 0
        assert not path.exists()
    # A file that a killed server has left is replaced.
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with start("--uds", str(path), QUIET) as running:
        wait_for_log(running, "Listening")
        assert running.stop(signal.SIGTERM) == 0


def test_inherited_descriptor() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        code = (
            "import os, sys; os.dup2(int(sys.argv[1]), 9, inheritable=True);"
            "from cno.asgi import run; run('tests.serve.apps:app', fd=9, limit_max_requests=1)"
        )
        args = [sys.executable, "-c", code, str(sock.fileno())]
        process = subprocess.Popen(args, pass_fds=[sock.fileno()], stderr=subprocess.PIPE)
        with process:
            port = sock.getsockname()[1]
            assert httpx.get(f"http://127.0.0.1:{port}/", timeout=PATIENCE).status_code == 200
            assert process.wait(PATIENCE) == 0
            assert process.stderr is not None and b"stopping" in process.stderr.read()


def test_responses_and_log() -> None:
    options = ("--header", "X-A: b c", "--header", "x-d:e", "--root-path", "/below", QUIET)
    with serving(*options, "--backlog", "5", "--log-level", "debug") as served:
        response = httpx.get(served.url + "/x")
        assert response.headers["x-a"] == "b c" and response.headers["x-d"] == "e"
        assert response.headers["server"] == "cno" and "date" in response.headers
        assert response.json()["root_path"] == "/below" and response.json()["path"] == "/below/x"
        if os.path.exists("/sys/class/net/lo"):
            port = served.url.rpartition(":")[2]
            shown = subprocess.run(["ss", "-ltn", f"sport = :{port}"], capture_output=True)
            assert not shown.stdout or re.search(rb"LISTEN +0 +5 ", shown.stdout)
        assert any(line.startswith("DEBUG:") or "INFO" in line for line in served.running.err)
    with start("--port", "0", "--log-level", "critical", "--no-server-header", QUIET) as running:
        eventually(lambda: running.process.poll() is not None or not running.err)
        assert running.err == []
    with serving("--no-server-header", "--no-date-header", QUIET) as served:
        response = httpx.get(served.url)
        assert "server" not in response.headers and "date" not in response.headers


def test_application_is_found(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from tests.serve.apps import app\n"
        "import asyncio\n"
        "def make(): return app\n"
        "def loop():\n  print('own loop', flush=True)\n  return asyncio.new_event_loop()\n"
    )
    (tmp_path / "vars").write_text("FROM_FILE='a b'\nPATH=nowhere\n")
    found = ("--app-dir", str(tmp_path), "--factory", "--env-file", str(tmp_path / "vars"))
    for workers in ("1", "2"):
        more = ("--workers", workers, "--loop", "mine:loop", QUIET)
        with serving(*found, *more, app="mine:make") as served:
            assert served.ask()["env"] == "a b"
            served.running.wait_for("own loop")
    for loop in ("asyncio", "uvloop"):
        with serving("--loop", loop, QUIET) as served:
            assert served.ask()["loop"] == loop
    with serving("--lifespan", "auto", QUIET, app="tests.serve.apps:lives") as served:
        served.running.wait_for("startup")
    assert served.running.out[-1].strip() == "shutdown"
    with serving("--lifespan", "off", QUIET, app="tests.serve.apps:lives") as served:
        assert httpx.get(served.url).text == "lives"
    assert served.running.out == []
    with start("--port", "0", "--lifespan", "on") as running:
        assert running.wait() == 3
    with serving(QUIET, app="tests.serve.apps:version_2") as served:
        assert httpx.get(served.url).text == "two"


def test_reload(tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    source = tmp_path / "changing.py"
    text = "from tests.serve.apps import answer\nasync def app(scope, receive, send):\n"
    source.write_text(f"{text}  await answer(send, b'one')\n")
    (tmp_path / "left.py").write_text("")
    options: tuple[str, ...] = (
        "--reload",
        "--app-dir",
        str(tmp_path),
        "--reload-dir",
        str(tmp_path),
    )
    options += ("--reload-include", "*.txt", "--reload-exclude", "left*", "--reload-delay", "0.05")
    with serving(*options, "--lifespan", "off", QUIET, app="changing:app") as served:
        assert httpx.get(served.url).text == "one"
        (tmp_path / "left.py").write_text("1")
        source.write_text(f"{text}  await answer(send, b'two, and longer')\n")
        eventually(lambda: httpx.get(served.url, timeout=PATIENCE).text.startswith("two"))
        assert not any("left.py" in line for line in served.running.err)
        source.write_text("not Python at all")
        wait_for_log(served.running, "waiting for a change")
        source.write_text(f"{text}  await answer(send, b'three, and longer')\n")
        eventually(lambda: httpx.get(served.url, timeout=PATIENCE).text.startswith("three"))
        (more / "a.txt").write_text("a")
        wait_for_log(served.running, "a.txt changed: reloading")


def test_process_ends_after_its_requests() -> None:
    options = ("--limit-max-requests", "2", "--limit-max-requests-jitter", "1", QUIET)
    with serving(*options) as served:
        served.ask()
        assert served.running.process.poll() is None
        served.ask()
        try:
            served.ask()
        except httpx.HTTPError:
            pass  # the chance was against the third
        assert served.running.process.wait(PATIENCE) == 0


def test_graceful_shutdown_has_an_end() -> None:
    with serving("--timeout-graceful-shutdown", "0.2", QUIET) as served:
        stop_soon(served)
        with pytest.raises(httpx.HTTPError):
            httpx.get(served.url + "/forever", timeout=PATIENCE)
        assert served.running.process.wait(PATIENCE) == 0


def stop_soon(served: Served) -> None:
    """Stop a server once it has a connection."""

    def stop() -> None:
        served.ask()  # the request before it has been received
        served.running.process.terminate()

    threading.Timer(0.05, stop).start()


def test_too_many_requests_get_503() -> None:
    with serving("--limit-concurrency", "1", QUIET) as served:
        with httpx.Client() as client, httpx.Client() as other:
            assert client.get(served.url).status_code == 200  # and keeps its connection
            response = other.get(served.url)
            assert (response.status_code, response.text) == (503, "Service Unavailable")


def test_idle_connection_is_closed() -> None:
    with serving("--timeout-keep-alive", "0.2", QUIET) as served:
        port = int(served.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            while sock.recv(65536):
                pass


def test_log_configuration(tmp_path: Path) -> None:
    (tmp_path / "log.toml").write_text(
        'version = 1\nroot = {handlers = ["h"]}\nformatters.f.format = "T %(message)s"\n'
        'handlers.h = {class = "logging.StreamHandler", formatter = "f"}\n'
    )
    (tmp_path / "log.json").write_text(
        '{"version": 1, "root": {"handlers": ["h"]}, "formatters": {"f": {"format": "J %(message)s'
        '"}}, "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f"}}}'
    )
    (tmp_path / "log.ini").write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=f\n[logger_root]\nhandlers=h\n"
        "[handler_h]\nclass=StreamHandler\nformatter=f\nargs=()\n"
        "[formatter_f]\nformat=I %(message)s\n"
    )
    for suffix in ("toml", "json", "ini"):
        with start("--port", "0", "--log-config", str(tmp_path / f"log.{suffix}")) as running:
            wait_for_log(running, f"^{suffix[0].upper()} Listening")
    with start("--port", "0", "--use-colors") as running:
        assert "\x1b[32mINFO" in wait_for_log(running, ".*Listening")[0]


def test_forwarded_client() -> None:
    fields = {"x-forwarded-for": "10.9.8.7, 192.0.2.1", "x-forwarded-proto": "https"}
    with serving("--forwarded-allow-ips", "127.0.0.0/8,192.0.2.1", QUIET) as served:
        found = served.ask(headers=fields)
        assert (found["client"], found["scheme"]) == (["10.9.8.7", 0], "https")
    for given in (("--no-proxy-headers",), ("--forwarded-allow-ips", "10.0.0.1")):
        with serving(*given, QUIET) as served:
            found = served.ask(headers=fields)
            assert (found["client"][0], found["scheme"]) == ("127.0.0.1", "http")


def test_proxy_protocol() -> None:
    with serving("--proxy-protocol", QUIET) as served:
        port = int(served.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            sock.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.8 1234 80\r\n")
            sock.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            data = b""
            while piece := sock.recv(65536):
                data += piece
    assert b'"client": ["192.0.2.7", 1234]' in data


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return certificate(tmp_path)


def test_tls(pair: Pair, tmp_path: Path) -> None:
    locked = tmp_path / "locked.pem"
    command = ["openssl", "pkey", "-aes128", "-passout", "pass:secret"]
    subprocess.run([*command, "-in", pair.key, "-out", locked], check=True, capture_output=True)
    files: tuple[str, ...] = ("--ssl-certfile", str(pair.cert), "--ssl-keyfile", str(locked))
    files += ("--ssl-keyfile-password", "secret")
    client = ssl.create_default_context(cafile=str(pair.authority))
    more: tuple[str, ...] = ("--ssl-version", str(int(ssl.PROTOCOL_TLSv1_2)))
    more += ("--ssl-ciphers", "ECDHE+AESGCM")
    with serving(*files, *more, QUIET) as served:
        assert served.ask(verify=client)["scheme"] == "https"
        port = int(served.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as sock:
            with client.wrap_socket(sock, server_hostname="localhost") as secured:
                assert secured.version() == "TLSv1.2"
                assert secured.cipher()[0].endswith(("GCM-SHA256", "GCM-SHA384"))  # type: ignore[index]  # it is connected
    required = ("--ssl-cert-reqs", "2", "--ssl-ca-certs", str(pair.authority))
    with serving(*files, *required, QUIET) as served:
        with pytest.raises(httpx.TransportError):
            served.ask(verify=client)
        client.load_cert_chain(pair.cert, pair.key)
        assert served.ask(verify=client)["scheme"] == "https"


def test_websockets() -> None:
    with serving("--ws-max-size", "100", "--no-ws-per-message-deflate", QUIET) as served:
        url = served.url.replace("http", "ws")
        with connect(url) as socket:
            assert socket.protocol.extensions == []
            socket.send("hello")
            assert socket.recv() == "hello"
        with connect(url) as socket:
            socket.send("x" * 101)
            with pytest.raises(Exception, match="1009"):
                socket.recv()
    pings = ("--ws-ping-interval", "0.05", "--ws-ping-timeout", "0.1", "--ws-max-queue", "1")
    with serving(*pings, QUIET) as served:
        port = int(served.url.rpartition(":")[2])
        with socket_of(port) as sock:
            data = b""
            while piece := sock.recv(65536):  # it answers no ping, and is given up
                data += piece
            assert b"\x89" in data
    with serving("--ws", "none", QUIET) as served:
        with pytest.raises(Exception, match="200"):
            connect(served.url.replace("http", "ws"))


def socket_of(port: int) -> socket.socket:
    """Return a socket that has asked for a WebSocket."""
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
    sock.sendall(
        b"GET / HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    return sock


# -- the ways to give an option ---------------------------------------------------------------


def test_environment_file_and_command_line(tmp_path: Path) -> None:
    path = tmp_path / "cno.toml"
    path.write_text(
        'app = "tests.serve.apps:app"\nworkers = 2\nroot-path = "/file"\nport = 0\n'
        'header = ["x-a: b"]\naccess_log = false\n[limits]\nmax_pipelined = 3\n'
    )
    environment = {"CNO_CONFIG": str(path), "CNO_ROOT_PATH": "/environment"}
    with serving("--header", "x-c: d", environment=environment) as served:
        assert served.ask()["root_path"] == "/environment"
        assert httpx.get(served.url).headers["x-c"] == "d"
        assert len(served.pids()) == 2
    shared = {"WEB_CONCURRENCY": "2", "FORWARDED_ALLOW_IPS": "*", "CNO_HEADER": "x-a: b c\nx-d: e"}
    with serving(QUIET, environment=shared) as served:
        assert len(served.pids()) == 2
        assert served.ask(headers={"x-forwarded-for": "10.0.0.1"})["client"] == ["10.0.0.1", 0]
        assert httpx.get(served.url).headers["x-a"] == "b c"
        assert httpx.get(served.url).headers["x-d"] == "e"


def test_limits_are_options_too() -> None:
    with serving("--limit", "max_header_list_size=1000", QUIET) as served:
        response = httpx.get(served.url, headers={"x-long": "x" * 2000})
        assert response.status_code == 431


def test_names_are_unique() -> None:
    found = [name for each in options() for name in (flag(each), *variables(each))]
    assert len(found) == len(set(found))
    assert {each.name for each in fields(Config)} - {each.name for each in options()} == {
        "app",
        "limits",
    }


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["a:b", "--header", "x"], "NAME:VALUE"),
        (["a:b", "--access-log-format", "%(y)s"], "no atom"),
        (["a:b", "--worker-max-rss", "much", "--port", "0"], "no size"),
        (["a:b", "--bind", "nowhere"], "should be HOST:PORT"),
        (["a:b", "--index", "x"], "is for folders"),
        ([".", "--workers", "2"], "is for applications"),
        (["a:b", "--limit", "none=1"], "no limit"),
        (["a:b", "--ssl-keyfile", "x"], "needs --ssl-certfile"),
        (["a:b", "--config", "missing.toml"], "cannot use"),
    ],
)
def test_mistakes_are_named(args: list[str], text: str) -> None:
    result = cno("serve", *args)
    assert result.status in (1, 2) and text in result.stderr
    assert "Traceback" not in result.stderr


def test_types_of_run_are_those_of_the_table() -> None:
    found = get_type_hints(Config)
    del found["app"]
    assert get_type_hints(RunOptions) == found
    assert run.__annotations__["options"] == Unpack[RunOptions]
