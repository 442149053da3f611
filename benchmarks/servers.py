"""The servers under load: starting each on one core, and its use of CPU and memory.

Knows commands and configuration files. Must never know the measurements.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks import apps, lab
from benchmarks.lab import HERE, Missing, program

HOST: Final = "127.0.0.1"

#: What docs/tuning.md advises for uploads: glibc keeps freed memory. All servers get the same.
KEEP_FREED: Final = {
    "MALLOC_MMAP_THRESHOLD_": str(8 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 20),
}

#: Ways of talking: HTTP/2 and HTTP/1.1 in clear text, and HTTP/2 over TLS.
H2C, H2, H1 = "h2c", "h2", "h1"

NGINX: Final = """
daemon off;
master_process off;
worker_processes 1;
pid {work}/pid;
error_log {work}/error.log crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    http2_max_concurrent_streams 1000;
    client_max_body_size 0;
    client_body_buffer_size 4m;
    client_body_temp_path {work}/a;
    proxy_temp_path {work}/b;
    fastcgi_temp_path {work}/c;
    uwsgi_temp_path {work}/d;
    scgi_temp_path {work}/e;
    upstream read {{ server unix:{work}/read; keepalive 16; }}
    server {{
        listen {host}:{h2c} http2;
        listen {host}:{h1};
        {tls}
        default_type text/plain;
        root {work};
        location = / {{
            if ($request_method = POST) {{ rewrite ^ /read last; }}
            return 200 "Hello, World!";
        }}
        # All of an upload is read, then another server answers without having seen it.
        location /read {{
            internal;
            proxy_pass http://read;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Content-Length "";
            proxy_pass_request_body off;
            proxy_method GET;
        }}
    }}
    server {{
        listen unix:{work}/read;
        default_type text/plain;
        location / {{ return 200 "Hello, World!"; }}
    }}
}}
"""

HYPERCORN: Final = "keep_alive_max_requests = 1000000000\nloglevel = 'CRITICAL'\n"


def free_ports(count: int) -> list[int]:
    """Return `count` TCP ports that were free a moment ago."""
    listeners = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


@dataclass
class Site:
    """What servers need on disk: pages, a certificate if one could be made."""

    work: Path
    cert: Path | None = None
    key: Path | None = None

    @staticmethod
    def make(work: Path) -> "Site":
        site = Site(work)
        (work / "index.html").write_bytes(apps.BODY)
        (work / "big").write_bytes(apps.BIG)
        (work / "large").write_bytes(apps.LARGE)
        (work / "hypercorn.toml").write_text(HYPERCORN)
        try:
            made = lab.peer("trustme").CA().issue_cert(HOST, "localhost")
        except Missing:
            return site
        site.cert, site.key = work / "cert.pem", work / "key.pem"
        site.cert.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        made.private_key_pem.write_to_path(site.key)
        return site

    def pair(self) -> tuple[str, str]:
        if self.cert is None or self.key is None:
            raise Missing("TLS (trustme is not installed)")
        return str(self.cert), str(self.key)


@dataclass
class Running:
    """A server that runs: its processes, and a port for each way of talking."""

    name: str
    ports: dict[str, int] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def url(self, way: str, path: str = "/") -> str:
        scheme = "https" if way == H2 else "http"
        return f"{scheme}://{HOST}:{self.ports[way]}{path}"

    def tree(self) -> list[int]:
        """Its processes and theirs."""
        found = [process.pid for process in self.processes]
        parents = {pid: int(stat[1]) for pid, stat in stats()}
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def cpu(self) -> float:
        """Seconds of processor time so far, of user and of system."""
        ours = set(self.tree())
        ticks = sum(int(stat[11]) + int(stat[12]) for pid, stat in stats() if pid in ours)
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Octets resident now."""
        page = os.sysconf("SC_PAGE_SIZE")
        found = 0
        for pid in self.tree():
            try:
                found += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
            except OSError:
                continue
        return found

    def stop(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def stats() -> Iterator[tuple[int, list[str]]]:
    """Of each process, the fields of /proc/PID/stat behind its name."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            yield int(path.parent.name), path.read_text().rpartition(")")[2].split()
        except OSError:
            continue


def ours(site: Site, ports: dict[str, int], *flags: str) -> list[list[str]]:
    command = [sys.executable, "-m", "benchmarks.apps", *flags]
    cert, key = site.pair()
    return [
        [*command, str(ports[H2C])],
        [*command, str(ports[H2]), "--cert", cert, "--key", key],
    ]


def our_loop(site: Site, ports: dict[str, int]) -> list[list[str]]:
    return ours(site, ports)


def our_uvloop(site: Site, ports: dict[str, int]) -> list[list[str]]:
    lab.peer("uvloop")
    return ours(site, ports, "--uvloop")


def our_asgi(site: Site, ports: dict[str, int]) -> list[list[str]]:
    lab.peer("uvloop")
    return ours(site, ports, "--uvloop", "--asgi")


def hypercorn(site: Site, ports: dict[str, int]) -> list[list[str]]:
    lab.peer("hypercorn")
    cert, key = site.pair()
    command = [sys.executable, "-m", "hypercorn", "-c", str(site.work / "hypercorn.toml")]
    command += ["-k", "uvloop", "benchmarks.apps:app"]
    return [
        [*command, "--bind", f"{HOST}:{ports[H2C]}"],
        [*command, "--bind", f"{HOST}:{ports[H2]}", "--certfile", cert, "--keyfile", key],
    ]


def granian_command(*flags: str) -> list[str]:
    lab.peer("granian")
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--loop", "uvloop"]
    command += ["--workers", "1", "--log-level", "critical", "--host", HOST, *flags]
    return [*command, "benchmarks.apps:app"]


def granian_websocket(site: Site, ports: dict[str, int]) -> list[list[str]]:
    return [[*granian_command("--ws"), "--http", "1", "--port", str(ports[H1])]]


def granian(site: Site, ports: dict[str, int]) -> list[list[str]]:
    command = granian_command("--no-ws")
    cert, key = site.pair()
    tls = ["--ssl-certificate", cert, "--ssl-keyfile", key]
    return [
        [*command, "--http", "2", "--port", str(ports[H2C])],
        [*command, "--http", "2", "--port", str(ports[H2]), *tls],
        [*command, "--http", "1", "--port", str(ports[H1])],
    ]


def uvicorn(*flags: str, ports: dict[str, int], tls: tuple[str, str] | None) -> list[list[str]]:
    lab.peer("uvicorn")
    command = [sys.executable, "-m", "uvicorn", "--loop", "uvloop", "--no-access-log"]
    command += ["--log-level", "critical", "--no-server-header", "--no-date-header", *flags]
    command += ["benchmarks.apps:app", "--port"]
    if tls is None:
        return [[*command, str(ports[H1])]]
    secure = ["--ssl-certfile", tls[0], "--ssl-keyfile", tls[1]]
    return [[*command, str(ports[H2C])], [*command, str(ports[H2]), *secure]]


def uvicorn_httptools(site: Site, ports: dict[str, int]) -> list[list[str]]:
    lab.peer("httptools")
    return uvicorn("--http", "httptools", ports=ports, tls=None)


def uvicorn_websockets(site: Site, ports: dict[str, int]) -> list[list[str]]:
    lab.peer("websockets")
    return uvicorn("--http", "httptools", "--ws", "websockets", ports=ports, tls=None)


def uvicorn_sansio(site: Site, ports: dict[str, int]) -> list[list[str]]:
    lab.peer("websockets")
    return uvicorn("--http", "httptools", "--ws", "websockets-sansio", ports=ports, tls=None)


def uvicorn_zttp(site: Site, ports: dict[str, int]) -> list[list[str]]:
    lab.peer("zttp")
    return uvicorn("--http", "zttp", "--http2", ports=ports, tls=site.pair())


def uvicorn_cno(site: Site, ports: dict[str, int]) -> list[list[str]]:
    return uvicorn("--http", "cno.uvicorn:Protocol", ports=ports, tls=site.pair())


def floor(site: Site, ports: dict[str, int]) -> list[list[str]]:
    lab.peer("uvloop")
    return [[sys.executable, "-m", "benchmarks.floor", str(ports[H1])]]


def nginx(site: Site, ports: dict[str, int]) -> list[list[str]]:
    cert, key = site.pair()
    tls = f"listen {HOST}:{ports[H2]} ssl http2; ssl_certificate {cert}; ssl_certificate_key {key};"
    text = NGINX.format(work=site.work, host=HOST, tls=tls, **{k: ports[k] for k in (H2C, H1)})
    config = site.work / "nginx.conf"
    config.write_text(text)
    return [[program("nginx"), "-p", str(site.work), "-c", str(config), "-e", "stderr"]]


def nghttpd(site: Site, ports: dict[str, int]) -> list[list[str]]:
    cert, key = site.pair()
    command = [program("nghttpd"), "-a", HOST, "-d", str(site.work), "-m", "1000"]
    return [
        [*command, "--no-tls", str(ports[H2C])],
        [*command, str(ports[H2]), key, cert],
    ]


#: Name -> how it is started, and the ways it can talk.
SERVERS: Final = {
    "cno": (our_uvloop, (H2C, H2, H1)),
    "cno (asyncio)": (our_loop, (H2C, H2, H1)),
    "cno ASGI": (our_asgi, (H2C, H2, H1)),
    "hypercorn": (hypercorn, (H2C, H2, H1)),
    "granian": (granian, (H2C, H2, H1)),
    "granian (ws)": (granian_websocket, (H1,)),
    "floor": (floor, (H1,)),
    "uvicorn (httptools)": (uvicorn_httptools, (H1,)),
    "uvicorn (websockets)": (uvicorn_websockets, (H1,)),
    "uvicorn (websockets-sansio)": (uvicorn_sansio, (H1,)),
    "uvicorn (zttp)": (uvicorn_zttp, (H2C, H2, H1)),
    "uvicorn (cno)": (uvicorn_cno, (H2C, H2, H1)),
    "nginx": (nginx, (H2C, H2, H1)),
    "nghttpd": (nghttpd, (H2C, H2)),
}

#: Those that speak HTTP/1.1 and HTTP/2 in clear text on the same port.
BOTH: Final = (
    "cno",
    "cno (asyncio)",
    "cno ASGI",
    "hypercorn",
    "uvicorn (zttp)",
    "uvicorn (cno)",
)


def start(name: str, site: Site, core: set[int]) -> Running:
    """Start a server on one core, and wait until it listens everywhere. Raises Missing."""
    make, ways = SERVERS[name]
    numbers = free_ports(len(ways))
    ports = dict(zip(ways, numbers, strict=True))
    work = site.work / name.replace(" ", "-")
    work.mkdir(exist_ok=True)
    for page in ("index.html", "big", "large", "hypercorn.toml"):
        (work / page).symlink_to(site.work / page)
    if name in BOTH:
        ports[H1] = ports[H2C]
    running = Running(name, ports)
    for command in make(Site(work, site.cert, site.key), ports):
        with (work / "log").open("ab") as log:
            process = lab.pinned(
                command,
                core,
                cwd=work,
                env={**os.environ, "PYTHONPATH": str(HERE.parent), **KEEP_FREED},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running.processes.append(process)
    try:
        for port in set(ports.values()):
            wait_listening(running, port, work / "log")
    except BaseException:
        running.stop()
        raise
    return running


def wait_listening(running: Running, port: int, log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if any(process.poll() is not None for process in running.processes):
            break
        try:
            socket.create_connection((HOST, port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    said = log.read_text(errors="replace").strip().splitlines()[-1:]
    raise Missing(f"{running.name} did not start: {' '.join(said)}")


@contextmanager
def all_started(
    names: list[str], site: Site, core: set[int], claim: lab.Claim
) -> Iterator[dict[str, Running]]:
    """Those that could be started; of the others the claim says why not."""
    running: dict[str, Running] = {}
    try:
        for name in names:
            try:
                running[name] = start(name, site, core)
            except Missing as reason:
                claim.miss(str(reason))
        yield running
    finally:
        for server in running.values():
            server.stop()
