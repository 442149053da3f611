"""gunicorn's suite of ASGI compliance, its containers replaced by servers of ours and a real nginx.

`python -m tests.suites gunicorn [cno|uvicorn] [pytest's arguments]`: `cno.asgi.Handler` (what it
does unless told), or uvicorn with `cno.uvicorn:Protocol`.
"""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.peers import free_port, require
from tests.processes import ENVIRONMENT, Pair, Running, certificate
from tests.suites.fetch import sources

ROOT = Path(__file__).parents[2]
APP = "apps.main_app:app"

#: Takes the place of the fixture that starts containers.
FIXTURE = """

@pytest.fixture(scope="session")
def docker_services():
    return {services!r}
"""


def command(kind: str, port: int, pair: Pair | None) -> list[str]:
    """Return how to start a server on a port, with TLS if it has a certificate."""
    if kind == "uvicorn":
        found = [sys.executable, "-m", "uvicorn", "--http", "cno.uvicorn:Protocol", APP]
        found += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
        if pair is not None:
            found += ["--ssl-certfile", str(pair.cert), "--ssl-keyfile", str(pair.key)]
        return found
    found = [sys.executable, "-m", "tests.suites.asgi_server", APP, "127.0.0.1", str(port)]
    return found if pair is None else [*found, str(pair.cert), str(pair.key)]


def nginx_configuration(text: str, folder: Path, pair: Pair, ports: dict[str, int]) -> str:
    """Return gunicorn's configuration of nginx for this machine."""
    for old, new in (
        ("/var/log/nginx", str(folder)),
        ("/var/run/nginx.pid", str(folder / "nginx.pid")),
        ("resolver 127.0.0.11", "# resolver 127.0.0.11"),
        ("gunicorn-asgi-ssl:8443", f"127.0.0.1:{ports['gunicorn_https']}"),
        ("gunicorn-asgi:8000", f"127.0.0.1:{ports['gunicorn_http']}"),
        ("listen 8080", f"listen 127.0.0.1:{ports['nginx_http']}"),
        ("http2 on;", ""),  # newer than the nginx of Debian 12
        ("listen 8444 ssl", f"listen 127.0.0.1:{ports['nginx_https']} ssl http2"),
        ("/certs/server.crt", str(pair.cert)),
        ("/certs/server.key", str(pair.key)),
    ):
        text = text.replace(old, new)
    return text


def run(arguments: list[str], version: str = "") -> int:
    """Run the suite; pytest's exit code."""
    kind = "cno"
    if arguments and arguments[0] in ("cno", "uvicorn"):
        kind, *arguments = arguments
    requirement = f"gunicorn=={version}" if version else "gunicorn"
    with tempfile.TemporaryDirectory(prefix="suite.") as name, ExitStack() as stack:
        folder = Path(name)
        suite = sources(requirement, folder) / "tests/docker/asgi_compliance"
        pair = certificate(folder)
        names = ("gunicorn_http", "gunicorn_https", "nginx_http", "nginx_https")
        ports = {each: free_port() for each in names}
        services = {
            each: f"{'https' if each.endswith('s') else 'http'}://127.0.0.1:{port}"
            for each, port in ports.items()
        }
        with (suite / "conftest.py").open("a") as conftest:
            conftest.write(FIXTURE.format(services=services))
        configuration = folder / "nginx.conf"
        configuration.write_text(
            nginx_configuration((suite / "nginx.conf").read_text(), folder, pair, ports)
        )
        path = os.pathsep.join([ENVIRONMENT["PYTHONPATH"], str(ROOT), str(suite)])
        environment = {**ENVIRONMENT, "PYTHONPATH": path}
        for listens_on, program in (
            ("gunicorn_http", command(kind, ports["gunicorn_http"], None)),
            ("gunicorn_https", command(kind, ports["gunicorn_https"], pair)),
            ("nginx_http", [require("nginx"), "-c", str(configuration), "-g", "daemon off;"]),
        ):
            running = stack.enter_context(Running(program, suite, environment))
            running.wait_listening(ports[listens_on])
        tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore"]
        tests += ["-o", "addopts=", "-o", "asyncio_mode=auto", "--rootdir", str(suite)]
        tests += arguments or ["."]
        return subprocess.run(tests, cwd=suite, env=environment, check=False).returncode
