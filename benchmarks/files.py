"""Files of a folder over loopback, by CPU time: `python -m benchmarks.files`.

`cno serve FOLDER` beside nginx, caddy and Python's http.server. The files are in memory; the
figure is the CPU time of the server with its children for each request.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import lab
from benchmarks.lab import Claim, Missing, Options, Row
from benchmarks.servers import HOST, free_ports

#: Name of a file -> its size, and the requests of one round.
FILES: Final = {"1k": (1_024, 20_000), "100k": (102_400, 6_000), "10m": (10_485_760, 200)}
#: The case of a file that the client has: the file, and the requests of one round.
UNCHANGED: Final = "1k unchanged"
CASES: Final = {**{name: count for name, (_, count) in FILES.items()}, UNCHANGED: 20_000}
#: What the ratio should be at least: by file and protocol, and then by server.
GOALS: Final = {
    ("100k", "HTTP/1.1"): {"nginx": 0.5, "caddy": 1.0},
    ("10m", "HTTP/1.1"): {"nginx": 0.8, "http.server": 1.0},
    ("100k", "h2c"): {"nginx": 0.8},
}
PATIENCE: Final = 20.0

NGINX: Final = """
worker_processes 1;
daemon off;
pid {work}/nginx.pid;
error_log /dev/null;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    default_type application/octet-stream;
    client_body_temp_path {work};
    server {{ listen {host}:{h1}; root {folder}; }}
    server {{ listen {host}:{h2c} http2; root {folder}; }}
}}
"""
CADDY: Final = """
{{
    admin off
    auto_https off
    servers {{
        protocols h1 h2 h2c
    }}
}}
http://:{h1}, http://:{h2c} {{
    root * {folder}
    file_server
}}
"""


class Server(NamedTuple):
    """A running server, and its port by protocol."""

    pid: int
    ports: dict[str, int]


@contextmanager
def running(name: str, folder: Path, work: Path, core: set[int]) -> Iterator[Server]:
    """Start a server. Raises Missing."""
    h1, h2c = free_ports(2)
    names = {"work": work, "folder": folder, "host": HOST, "h1": h1, "h2c": h2c}
    ports = {"HTTP/1.1": h1, "h2c": h2c}
    if name == "nginx":
        (work / "nginx.conf").write_text(NGINX.format(**names))
        command = [lab.program("nginx"), "-p", str(work), "-c", str(work / "nginx.conf")]
    elif name == "caddy":
        (work / "Caddyfile").write_text(CADDY.format(**names))
        command = [lab.program("caddy"), "run", "--config", str(work / "Caddyfile")]
    elif name == "http.server":
        where = ["-b", HOST, "-d", str(folder), "-p", "HTTP/1.1", str(h1)]
        command = [sys.executable, "-m", "http.server", *where]
        del ports["h2c"]
    else:
        command = [sys.executable, "-m", "cno", "serve", str(folder), "-q", "-p", str(h1)]
        ports["h2c"] = h1
    quiet = subprocess.DEVNULL
    process = lab.pinned(command, core, cwd=work, stdout=quiet, stderr=quiet)
    try:
        wait_listening(h1)
        yield Server(process.pid, ports)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


def wait_listening(port: int) -> None:
    """Wait until a port can be connected to. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(OSError):
            socket.create_connection((HOST, port), 1).close()
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on {port}")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its children."""
    total = 0.0
    left = [pid]
    while left:
        pid = left.pop()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError):  # a thread that has ended
                left += map(int, (task / "children").read_text().split())
    return total


def sample(server: Server, way: str, name: str, count: int, core: set[int]) -> float:
    """Return the microseconds of CPU for each request."""
    streams = ["--h1"] if way == "HTTP/1.1" else ["-m", "4"]
    name, _, unchanged = name.partition(" ")
    fields = ["-H", f"if-modified-since: {formatdate(usegmt=True)}"] if unchanged else []
    url = f"http://{HOST}:{server.ports[way]}/{name}"
    command = [lab.program("h2load"), "-n", str(count), "-c", "4", *streams, *fields, url]
    before = cpu_seconds(server.pid)
    done = lab.run_pinned(command, core, 300)
    spent = cpu_seconds(server.pid) - before
    succeeded = re.search(r"(\d+) succeeded", done.stdout)
    if succeeded is None or int(succeeded[1]) != count:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return spent / count * 1e6


def measure(opts: Options) -> Claim:
    claim = Claim(
        "files",
        "Files over loopback",
        "CPU time of the server for each request: median (least-most) of the rounds; **how many "
        "times better `cno serve` is (goal)**. Four connections, over HTTP/2 with four streams.",
    )
    server_core, load_core = lab.cores()
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        work, folder = Path(place), Path(place, "folder")
        folder.mkdir()
        for name, (size, _) in FILES.items():
            (folder / name).write_bytes(os.urandom(size))
            os.utime(folder / name, (time.time() - 60,) * 2)  # `cno serve` keeps no new files
        servers = {}
        try:
            lab.program("h2load")
            for name in ("cno", "nginx", "caddy", "http.server"):
                try:
                    servers[name] = stack.enter_context(running(name, folder, work, server_core))
                except Missing as reason:
                    claim.miss(str(reason))
        except Missing as reason:
            claim.miss(str(reason))
            return claim
        for name, count in CASES.items():
            for way in ("HTTP/1.1", "h2c"):
                case = f"{name}, {way}"
                if not opts.wants(case):
                    continue
                count = min(count, 20) if opts.quick else count
                runs = {
                    each: partial(sample, server, way, name, count, load_core)
                    for each, server in servers.items()
                    if way in server.ports and (each != "http.server" or name == "10m")
                }
                for run in runs.values():
                    run()  # fills caches, and does not count
                goals = GOALS.get((name, way), {})
                known = {peer: goal for peer, goal in goals.items() if peer in runs}
                samples = lab.alternate(runs, opts.rounds)
                claim.rows.append(Row(case, "µs per request", samples, goals=known))
    claim.versions = {name: lab.version(name) for name in ("uvloop", "nginx", "caddy", "h2load")}
    return claim


if __name__ == "__main__":
    lab.main(__doc__, measure)
