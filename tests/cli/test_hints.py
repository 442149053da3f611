"""Error messages of `cno get`: the cause, the rule, and the option that may help."""

import os
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.commands import POSIX, Here, answering, one_line
from tests.peers import free_port
from tests.processes import PATIENCE, Pair, Running, certificate, cno, serving

OK = b"HTTP/1.1 200 OK\r\n"


# -- refused responses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words", "rule", "hint"),
    [
        (b"HTTP/1.1 200 OK\nx: y\n\n", "LF", "RFC 9112 2.2", "allow_bare_lf=yes allows it"),
        (OK + b"x: y\r\n z\r\n\r\n", "", "RFC 9112 5.2", "allow_obs_fold=yes allows it"),
        (OK + b"x: " + b"y" * 20_000, "", "RFC 9110 5.4", "max_line_size=... sets another limit"),
        (OK + b"transfer-encoding: chunked\r\n\r\nx\r\n", "chunk size", "RFC 9112 7.1", ""),
    ],
)
def test_a_refused_response(here: Here, answer: bytes, words: str, rule: str, hint: str) -> None:
    with answering(answer) as url:
        line = one_line(here("get", url))
    assert line.startswith(f"cno: {url}: ") and words in line
    assert line.endswith(f"[{rule}] (--limit {hint})" if hint else f"[{rule}]")
    assert "Limits." not in line


def test_the_option_helps(here: Here) -> None:
    answer = b"HTTP/1.1 200 OK\ncontent-length: 1\n\nx"
    with answering(answer) as url:
        assert here("get", "--limit", "allow_bare_lf=yes", url).stdout == b"x"


def test_the_file_that_means_standard_output(here: Here) -> None:
    with answering(OK + b"content-length: 1\r\n\r\nx") as url:
        assert here("get", "-o", "-", url).stdout == b"x"


def test_a_response_that_does_not_come(here: Here) -> None:
    """The message says which timeout it was."""
    with answering(b"", hold=True) as url:
        line = one_line(here("get", "--limit", "response_timeout=0.2", url))
    assert "no response came in time" in line


# -- TLS or not ------------------------------------------------------------------------------------

HTTP_HINT = "(if the server does not use TLS, the URL begins with http:)"
HTTPS_HINT = "(if the server uses TLS, the URL begins with https:)"


def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    with serving(tmp_path, "--self-signed") as served:
        line = one_line(cno("get", served.url))
        assert "its certificate is not trusted" in line
        assert line.endswith("(--cacert FILE trusts what FILE signs, -k any certificate)")
        assert cno("get", "-k", served.url).status == 0


def test_tls_to_a_port_in_clear_text(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        assert one_line(cno("get", served.url.replace("http:", "https:"))).endswith(HTTP_HINT)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_tls_to_a_server_that_expects_none(here: Here, answer: bytes) -> None:
    with answering(answer) as url:
        assert one_line(here("get", url.replace("http:", "https:"))).endswith(HTTP_HINT)


def test_clear_text_to_a_port_with_tls(tmp_path: Path) -> None:
    """In HTTP/1.1 the server can say so, in HTTP/2 the client has to guess."""
    with serving(tmp_path, "--self-signed") as served:
        url = served.url.replace("https:", "http:")
        assert b"the URL begins with https:" in cno("get", "--http1.1", url).stdout
        assert one_line(cno("get", "--http2", url)).endswith(HTTPS_HINT)


@pytest.mark.parametrize(
    "answer", [b"\x15\x03\x01\x00\x02\x02\x46", b"\x15\x03\x03\x00\x02\x01\x00"]
)
def test_a_tls_alert(here: Here, answer: bytes) -> None:
    """OpenSSL sends one to a client that speaks HTTP."""
    with answering(answer) as url:
        assert one_line(here("get", url)).endswith(HTTPS_HINT)


def test_no_hint_once_the_server_has_answered(here: Here) -> None:
    with answering(OK + b"content-length: 1\r\n\r\nx", b"") as url:
        result = here("get", url, url)
    assert (result.status, result.stdout) == (52, b"x")
    assert "TLS" not in result.stderr


# -- files -----------------------------------------------------------------------------------------


def test_the_folder_is_blamed(here: Here) -> None:
    (here.folder / "file").touch()
    (here.folder / "folder").mkdir()
    for path, words in (
        ("none/x", "cannot write none/x: none: there is no such folder"),
        ("file/x", "cannot write file/x: file: is not a folder"),
        ("folder", "cannot write folder: Is a directory"),
    ):
        with answering(OK + b"content-length: 1\r\n\r\nx") as url:
            assert one_line(here("get", "-o", path, url)) == f"cno: {words}"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_disk_that_is_full(here: Here) -> None:
    with answering(OK + b"content-length: 1\r\n\r\nx") as url:
        line = one_line(here("get", "-o", "/dev/full", url))
    assert line == "cno: cannot write /dev/full: No space left on device"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only(here: Here) -> None:
    (here.folder / "folder").mkdir(0o500)
    with answering(OK + b"content-length: 1\r\n\r\nx") as url:
        line = one_line(here("get", "-o", "folder/x", url))
    assert line == "cno: cannot write folder/x: folder: Permission denied"


def test_a_server_is_not_taken_for_a_file(here: Here) -> None:
    with answering(OK + b"content-length: 9\r\n\r\nx") as url:
        line = one_line(here("get", "-o", "x", url))
    why = "the peer closed the connection in the middle of the response"
    assert line.startswith(f"cno: {url}: {why}: 1 of 9 bytes came, 8 are missing (what came")


# -- Ctrl-C ----------------------------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize("command", ["get", "serve"])
def test_a_new_line_after_ctrl_c(tmp_path: Path, command: str) -> None:
    """After the ^C that a terminal shows, the prompt is on a new line."""
    import pty

    with answering(OK + b"content-length: 10\r\n\r\nhello", hold=True) as url:
        args = ["get", url] if command == "get" else ["serve", "--port", "0"]
        ready = b"hello" if command == "get" else b" and HTTP/1.1\r\n"
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(tmp_path)
            os.execv(sys.executable, [sys.executable, "-m", "cno", *args])
        seen = b""
        while part := read(terminal):
            seen += part
            if ready in seen and b"^C" not in seen:
                os.write(terminal, b"\x03")
                ready = b"never"
        os.close(terminal)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == (130 if command == "get" else 0)
    assert seen.endswith(b"^C\r\n")


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux: the other side is closed
        return b""


@POSIX
def test_no_line_where_there_is_no_terminal(tmp_path: Path) -> None:
    with answering(OK + b"content-length: 10\r\n\r\nhello\n", hold=True) as url:
        with Running([sys.executable, "-m", "cno", "get", url]) as running:
            running.wait_for("hello")
            assert (running.stop(), running.err) == (130, [])


# -- heads -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (b"200 OK", b"HTTP/1.1 200 OK"),
        (b"200 All is well", b"HTTP/1.1 200 All is well"),
        (b"299 ", b"HTTP/1.1 299"),
    ],
)
def test_the_reason_phrase(here: Here, status: bytes, line: bytes) -> None:
    with answering(*[b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n"] * 2) as url:
        assert here("get", "-i", url).stdout == line + b"\r\ncontent-length: 0\r\n\r\n"
        assert f"\n< {line.decode()}\n" in here("get", "-v", url).stderr


def test_http2_has_no_reason_phrase(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with serving(tmp_path) as served:
        result = cno("get", "--http2", "-i", f"{served.url}a")
        assert result.stdout.startswith(b"HTTP/2 200\r\n")


# -- client certificates ---------------------------------------------------------------------------


@contextmanager
def asking_for_a_certificate(pair: Pair) -> Iterator[str]:
    """Serve only clients whose certificate `pair.authority` has signed. Gives the URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    context.load_verify_locations(pair.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    sock = listener.accept()[0]
                except OSError:
                    return
                try:
                    with context.wrap_socket(sock, server_side=True) as secured:
                        secured.recv(65536)
                        secured.sendall(OK + b"content-length: 1\r\n\r\nx")
                except OSError:
                    sock.close()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_client_certificate(here: Here, pair: Pair) -> None:
    both = here.folder / "both.pem"
    both.write_bytes(pair.cert.read_bytes() + pair.key.read_bytes())
    cacert = ["--cacert", str(pair.authority)]
    with asking_for_a_certificate(pair) as url:
        mine = ["--cert", str(pair.cert), "--key", str(pair.key)]
        assert here("get", *cacert, *mine, url).stdout == b"x"
        assert here("get", *cacert, "--cert", str(both), url).stdout == b"x"
        assert here("get", *cacert, url).status == 56


def test_client_certificates_that_cannot_be(here: Here, tmp_path: Path, pair: Pair) -> None:
    (tmp_path / "text").write_text("no certificate")
    other = tmp_path / "other"
    other.mkdir()
    text, another = str(tmp_path / "text"), certificate(other)
    for options, words in (
        (["--cert", "none"], "no such file: none"),
        (["--cert", str(pair.cert), "--key", "none"], "no such file: none"),
        (["--cert", text], "TLS failed"),
        (["--cert", str(pair.cert), "--key", str(another.key)], "key values mismatch"),
    ):
        line = one_line(here("get", *options, "https://127.0.0.1:9/"))
        assert line.startswith("cno: cannot use the certificate") and words in line
    result = here("get", "--key", str(pair.key), "https://127.0.0.1:9/")
    assert result.status == 2 and "--key needs --cert" in result.stderr


# -- proxies ---------------------------------------------------------------------------------------


def test_a_proxy_that_cannot_be(here: Here) -> None:
    line = one_line(here("get", "--proxy", "ftp://a/", "https://127.0.0.1:9/"), 2)
    assert line.startswith("cno: --proxy: ")
    proxy = f"127.0.0.1:{free_port()}"
    for url in ("https://b.example/", "http://b.example/"):
        line = one_line(here("get", "--proxy", f"http://{proxy}", url))
        assert line == f"cno: cannot connect to the proxy {proxy}: Connection refused"


def test_a_proxy_that_refuses_a_tunnel(here: Here) -> None:
    with answering(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as url:
        line = one_line(here("get", "--proxy", url, "https://b.example/"))
    assert line.startswith("cno: cannot connect to b.example: ") and "407" in line


def test_a_proxy_whose_certificate_is_not_trusted(tmp_path: Path) -> None:
    with serving(tmp_path, "--self-signed") as proxy:
        line = one_line(cno("get", "--proxy", proxy.url, "http://b.example/"))
    assert "cannot connect to the proxy" in line and "its certificate is not trusted" in line
    assert line.endswith("-k any certificate)")


class Seen:
    """The head of the request that a proxy received."""

    text = ""


@contextmanager
def proxying(seen: Seen, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Run a proxy that answers one request itself. Gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock = listener.accept()[0]
            if context is not None:
                sock = context.wrap_socket(sock, server_side=True)
            with sock:
                seen.text = sock.recv(65536).decode()
                sock.sendall(OK + b"content-length: 1\r\n\r\nx")

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(PATIENCE)


def test_requests_that_a_proxy_forwards(here: Here, pair: Pair) -> None:
    seen = Seen()
    with proxying(seen) as port:
        result = here("get", "--proxy", f"http://u:p@127.0.0.1:{port}", "http://b.example/c?d")
    assert result.stdout == b"x"
    assert seen.text.startswith("GET http://b.example/c?d HTTP/1.1\r\n")
    assert "\r\nproxy-authorization: basic dtpw\r\n" in seen.text.lower()  # u:p
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    for option in (["--cacert", str(pair.authority)], ["-k"]):
        with proxying(seen, context) as port:
            proxy = f"https://127.0.0.1:{port}"
            assert here("get", *option, "--proxy", proxy, "http://b.example/").stdout == b"x"


def test_the_proxy_of_the_environment(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen()
    with proxying(seen) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with answering(OK + b"content-length: 1\r\n\r\ny") as url:
            assert here("get", "--proxy", "env", url).stdout == b"y"
            assert here("get", "--proxy", "env", "http://b.example/").stdout == b"x"
    monkeypatch.setenv("http_proxy", "ftp://a/")
    assert one_line(here("get", "--proxy", "env", "http://b.example/"), 2).startswith(
        "cno: --proxy"
    )


def test_a_connection_that_takes_too_long(here: Here) -> None:
    """The message names the timeout."""
    with answering(b"", hold=True) as url:
        line = one_line(
            here("get", "--limit", "handshake_timeout=0.3", url.replace("http:", "https:"))
        )
    assert "no connection within 0.3 s" in line and "--limit handshake_timeout=" in line


# -- arguments -------------------------------------------------------------------------------------


def test_a_field_name_is_checked_before_there_is_a_connection(here: Here) -> None:
    result = here("get", "-H", "bad name: x", "http://127.0.0.1:1/")
    assert result.status == 2 and "malformed header field 'bad name'" in result.stderr


def test_the_null_device_is_for_all_urls(here: Here) -> None:
    with answering(*[OK + b"content-length: 1\r\n\r\nx"] * 2) as url:
        result = here("get", "-s", "-o", os.devnull, "--http1.1", "-w", "%{http_code} ", url, url)
    assert (result.status, result.stdout) == (0, b"200 200 ")
    assert here("get", "-o", "f", url, url).status == 2


def test_targets_of_serve(here: Here) -> None:
    assert "(an application is MODULE:NAME)" in one_line(here("serve", "module"))
    line = one_line(here("serve", "module.py:app"), 2)
    assert "give the module's name, module:app" in line
    result = here("serve", ".", "--ssl-certfile", "x.pem")
    assert result.status == 2 and "for a folder it is --cert" in result.stderr


def test_a_certificate_without_its_key(here: Here, pair: Pair) -> None:
    cert = here.folder / "own.pem"
    text = Path(pair.cert).read_text()
    cert.write_text(text[text.index("-----BEGIN CERT") :].partition("-----BEGIN PRIV")[0])
    line = one_line(here("serve", ".", "--cert", str(cert)))
    assert line.endswith("own.pem: its private key is not in it: --key FILE")
    result = here("serve", "module:app", "--cert", str(cert))
    assert "--ssl-keyfile" in result.stderr
