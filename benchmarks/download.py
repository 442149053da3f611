"""`cno get` beside curl: `python -m benchmarks.download`.

Both save the same file from the same nginx; and both fetch a small one, which is mostly start-up.
Compares processor time of the whole process, its start included.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks import lab
from benchmarks.lab import Claim, Missing, Options, Row
from benchmarks.servers import HOST

LARGE: Final = 500 << 20
#: Milliseconds that `cno get` may take more than curl, for a small file.
MORE: Final = 60.0

NGINX: Final = """
daemon off; master_process off; worker_processes 1; pid {work}/pid;
error_log {work}/error.log crit;
events {{ worker_connections 64; }}
http {{
    access_log off; sendfile on; tcp_nopush on;
    client_body_temp_path {work}/a; proxy_temp_path {work}/b; fastcgi_temp_path {work}/c;
    uwsgi_temp_path {work}/d; scgi_temp_path {work}/e;
    server {{
        listen {host}:{h1};
        listen {host}:{h2c} http2;
        listen {host}:{h2} ssl http2;
        ssl_certificate {work}/cert.pem;
        ssl_certificate_key {work}/key.pem;
        root {work}/root;
    }}
}}
"""


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    import socket

    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [int(sock.getsockname()[1]) for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def certify(work: Path) -> None:
    """Make a certificate for the server, and its authority."""
    trustme = lab.peer("trustme")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", HOST)
    work.joinpath("cert.pem").write_bytes(b"".join(b.bytes() for b in issued.cert_chain_pems))
    work.joinpath("key.pem").write_bytes(issued.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(work / "ca.pem"))


@contextmanager
def serving(work: Path, size: int) -> Iterator[dict[str, int]]:
    """Run nginx on one core. Gives the ports by the way of talking."""
    certify(work)
    root = work / "root"
    root.mkdir()
    with open(root / "large", "wb") as file:
        file.truncate(size)
    (root / "small").write_bytes(b"hello\n")
    ports = dict(zip(("h1", "h2c", "h2"), free_ports(3), strict=True))
    config = work / "nginx.conf"
    config.write_text(NGINX.format(work=work, host=HOST, **ports))
    server, _ = lab.cores()
    with lab.pinned([lab.program("nginx"), "-c", str(config)], server) as process:
        try:
            yield ports
        finally:
            process.terminate()


def cpu(command: list[str], core: set[int]) -> float:
    """Return the seconds of processor time that a program takes."""
    process = lab.pinned(command, core, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        assert process.stderr is not None
        raise Missing(f"{command[0]}: {process.stderr.read().decode()[-200:]}")
    return used.ru_utime + used.ru_stime


def programs(args: list[str], out: Path, core: set[int]) -> dict[str, Callable[[], float]]:
    """Return what runs either program."""
    ours = [sys.executable, "-m", "cno", "get", "-s", *args, "-o", str(out / "cno.out")]
    curl = [lab.program("curl"), "-s", *args, "-o", str(out / "curl.out")]
    return {"cno": partial(cpu, ours, core), "curl": partial(cpu, curl, core)}


def measure(opts: Options) -> Claim:
    """Measure all cases."""
    claim = Claim(
        "download",
        "`cno get`",
        "Processor time of `cno get` and curl, from start to end, from the same nginx: median "
        "(least-most) of the rounds, **how many times longer the peer takes (goal)**.",
        versions={name: lab.version(name) for name in ("curl", "nginx")},
        machine=lab.machine(),
    )
    _, core = lab.cores()
    with TemporaryDirectory() as folder:
        work = Path(folder)
        try:
            with serving(work, LARGE >> 6 if opts.quick else LARGE) as ports:
                add_rows(claim, opts, work, ports, core)
        except Missing as reason:
            claim.miss(str(reason))
    return claim


def add_rows(
    claim: Claim, opts: Options, work: Path, ports: dict[str, int], core: set[int]
) -> None:
    cases: tuple[tuple[str, str, str, list[str], float], ...] = (
        ("500 MiB, HTTP/1.1", "h1", "http", [], 0.75),
        ("500 MiB, h2c", "h2c", "http", ["--http2-prior-knowledge"], 0.75),
        ("500 MiB, h2 over TLS", "h2", "https", ["--cacert", str(work / "ca.pem")], 0.9),
    )
    for case, port, scheme, more, goal in cases:
        if opts.wants(case):
            args = [*more, f"{scheme}://{HOST}:{ports[port]}/large"]
            samples = lab.alternate(programs(args, work, core), opts.rounds)
            claim.rows.append(Row(case, "seconds of CPU", samples, goals={"curl": goal}))
    if opts.wants("a small file"):
        args = [f"http://{HOST}:{ports['h1']}/small"]
        found = lab.alternate(programs(args, work, core), opts.rounds)
        pairs = zip(found["cno"], found["curl"], strict=True)
        more_than = [(mine - theirs) * 1e3 for mine, theirs in pairs]
        claim.rows.append(
            Row("a small file", "ms of CPU more than curl", {"cno": more_than}, at_most=MORE)
        )


if __name__ == "__main__":
    lab.main(__doc__, measure)
