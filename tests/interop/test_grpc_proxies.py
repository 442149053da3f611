"""A grpcio client calls a `cno` server through nginx (grpc_pass) and HAProxy: HTTP/2 throughout."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.interop.test_grpc_client import WAIT, Serving
from tests.peers import free_port, missing, require
from tests.processes import Running

try:
    import grpc  # type: ignore[import-untyped]  # as it comes
except ImportError:
    missing("grpcio is not installed")

NGINX = """
daemon off;
master_process off;
pid {work}/pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {work}/a;
    proxy_temp_path {work}/b;
    fastcgi_temp_path {work}/c;
    uwsgi_temp_path {work}/d;
    scgi_temp_path {work}/e;
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port} http2;
        location / {{ grpc_pass grpc://{target}; }}
    }}
}}
"""

HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend grpc
    bind 127.0.0.1:{port} proto h2
    default_backend app
backend app
    server app {target} proto h2
"""


@contextmanager
def between(kind: str, target: str, work: Path) -> Iterator[str]:
    """A proxy to a target; gives its own address."""
    port, config = free_port(), work / "config"
    text = NGINX if kind == "nginx" else HAPROXY
    config.write_text(text.format(work=work, port=port, target=target))
    if kind == "nginx":
        args = [require("nginx"), "-p", str(work), "-c", str(config), "-e", "stderr"]
    else:
        args = [require("haproxy"), "-db", "-f", str(config)]
    with Running(args) as running:
        running.wait_listening(port)
        yield f"127.0.0.1:{port}"
    assert running.err == []


@pytest.mark.parametrize("kind", ["nginx", "HAProxy"])
def test_calls(kind: str, tmp_path: Path) -> None:
    serving = Serving()

    def client(target: str) -> None:
        with between(kind, target, tmp_path) as proxy, grpc.insecure_channel(proxy) as channel:
            echo = channel.unary_unary("/test/echo")
            futures = [echo.future(b"%d" % number, timeout=WAIT) for number in range(200)]
            assert [future.result() for future in futures] == [b"%d" % n for n in range(200)]
            sizes = channel.stream_unary("/test/size")
            assert sizes(iter([bytes(100_000)] * 100), timeout=WAIT) == b"10000000"
            repeat = channel.unary_stream("/test/repeat")
            assert len(list(repeat(b"1000", timeout=WAIT))) == 1000
            talk = channel.stream_stream("/test/echo")
            sent = [bytes([n]) * n * 100 for n in range(200)]
            assert list(talk(iter(sent), timeout=WAIT)) == sent
            for count in (0, 3):
                replies = channel.unary_stream("/test/fail")(b"%d" % count, timeout=WAIT)
                with pytest.raises(grpc.RpcError) as caught:
                    list(replies)
                assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert caught.value.details() == "not good: 100 % ünüsual"
            call = channel.unary_stream("/test/hang")(b"", timeout=WAIT)
            assert next(call) == b"begun"
            call.cancel()

    serving.run(client)
    assert serving.failures == []
    assert serving.methods.events == {"hanging": 1, "cancelled": 1}
