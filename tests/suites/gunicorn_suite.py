"""gunicorn's suite of ASGI compliance, its containers replaced by servers of ours and a real nginx.

`python -m tests.suites gunicorn [serve|uvicorn] [pytest's arguments]`: on `cno serve`, inside
uvicorn with `cno.uvicorn:Protocol`, or on both, one after the other.
"""

import os
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.peers import free_port, require
from tests.processes import ENVIRONMENT, Pair, Running, certificate
from tests.suites.fetch import sources
from tests.suites.services import chosen, command, pytest_command

APP = "apps.main_app:app"

#: Takes the place of the fixture that starts containers.
FIXTURE = """

@pytest.fixture(scope="session")
def docker_services():
    return {services!r}
"""


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
    """Run the suite, on each kind of server; pytest's exit code, the first that is not 0."""
    kinds, arguments = chosen(arguments)
    requirement = f"gunicorn=={version}" if version else "gunicorn"
    codes = []
    for kind in kinds:
        print(f"gunicorn's suite of ASGI compliance: {kind}", flush=True)
        with tempfile.TemporaryDirectory(prefix="suite.") as name:
            codes.append(run_on(kind, sources(requirement, Path(name)), arguments))
    return next((code for code in codes if code), 0)


def run_on(kind: str, gunicorn: Path, arguments: list[str]) -> int:
    """Run the suite of gunicorn's sources on one kind of server."""
    folder = gunicorn.parent
    suite = gunicorn / "tests/docker/asgi_compliance"
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
    path = os.pathsep.join([ENVIRONMENT["PYTHONPATH"], str(suite)])
    environment = {**ENVIRONMENT, "PYTHONPATH": path}
    with ExitStack() as stack:
        for listens_on, program in (
            ("gunicorn_http", command(kind, APP, ports["gunicorn_http"])),
            ("gunicorn_https", command(kind, APP, ports["gunicorn_https"], pair)),
            ("nginx_http", [require("nginx"), "-c", str(configuration), "-g", "daemon off;"]),
        ):
            running = stack.enter_context(Running(program, suite, environment))
            running.wait_listening(ports[listens_on])
        tests = pytest_command(suite, arguments)
        return subprocess.run(tests, cwd=suite, env=environment, check=False).returncode
