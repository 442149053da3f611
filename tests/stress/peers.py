"""The servers under load and the relay before them: how they start, are disturbed, and end.

Each peer has URLs for each wire, direct and through the relay, and counts its disturbances, so that
a request knows whether it was disturbed.
"""

import asyncio
import json
import math
import os
import re
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cno
from tests.peers import find
from tests.processes import Pair, Running
from tests.stress.bodies import BASE, UP, body
from tests.stress.plan import FILES, WIRES
from tests.stress.server import BEGUN, HOST, RECORD, WHOLE
from tests.tree import ROOT

#: Seconds after a disturbance in which its effects may still be felt.
AFTERMATH = 3.0
#: Seconds that a server or a pool may take to close: its requests, and what the relay holds up.
CLOSING = 20.0


def reserve() -> socket.socket:
    """Return a socket that keeps a port for a server that comes and goes. It does not listen."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, 0))
    return sock


class Peer:
    """A server that can be disturbed: `actions` names the ways."""

    name = ""
    actions: tuple[str, ...] = ()

    def __init__(self, folder: Path, pair: Pair) -> None:
        self.folder = folder
        self.pair = pair
        self.relayed: dict[bool, int] = {}  # whether over TLS -> the relay's port
        self._socks = [reserve(), reserve()]
        self._disturbances: list[tuple[str, float, float]] = []  # kind, when it began and ended
        self.done: Counter[str] = Counter()
        self.stderr: list[str] = []
        self.running: Running

    @property
    def ports(self) -> list[int]:
        """In clear text, over TLS."""
        return [each.getsockname()[1] for each in self._socks]

    def url(self, wire: str, relayed: bool) -> str:
        tls = WIRES[wire][1]
        port = self.relayed[tls] if relayed else self.ports[tls]
        return f"{'https' if tls else 'http'}://{HOST}:{port}"

    def disturbed(self, kind: str, since: float, until: float) -> bool:
        """Return whether a disturbance of this kind (hard, soft) falls into that time."""
        for what, begun, ended in reversed(self._disturbances):
            if what == kind and begun <= until:
                return ended >= since
        return False

    async def disturb(self, action: str) -> None:
        """Do something to the server, and wait until it serves again."""
        kind = "soft" if action == "restarts" else "hard"
        now = time.monotonic()
        self._disturbances.append((kind, now, math.inf))
        await asyncio.to_thread(self._act, action)
        self._disturbances[-1] = (kind, now, time.monotonic() + AFTERMATH)
        self.done[action] += 1

    def start(self) -> None:
        raise NotImplementedError

    def _act(self, action: str) -> None:
        raise NotImplementedError

    def _again(self) -> None:
        """Kill the process and start it anew."""
        self.running.process.kill()
        self._end()
        self.start()

    def _end(self) -> None:
        self.running.wait()
        self.stderr += self.running.err

    async def finish(self) -> list[tuple[str, str]]:
        """End, and return what was wrong: the kind, and what."""
        problems = await asyncio.to_thread(self._stop)
        for sock in self._socks:
            sock.close()
        return problems + [("stderr", f"{self.name}: {line}") for line in self.stderr]

    def _stop(self) -> list[tuple[str, str]]:
        self.running.process.kill()
        self._end()
        return []

    def kill(self) -> None:
        """Leave nothing behind, whatever has happened."""
        self.running.__exit__()
        for sock in self._socks:
            sock.close()


class Ours(Peer):
    name = "ours"
    actions = ("restarts", "aborts", "kills")

    def __init__(self, folder: Path, pair: Pair, program: Sequence[str]) -> None:
        super().__init__(folder, pair)
        self._program = program

    def start(self) -> None:
        args: list[str | Path] = [sys.executable, "-m", *self._program, "--folder", self.folder]
        args += ["--ports", *map(str, self.ports), "--cert", self.pair.cert, "--key", self.pair.key]
        self.running = Running(args, cwd=ROOT)
        self.running.wait_for("^ready$")

    def _act(self, action: str) -> None:
        if action == "kills":
            self._again()
        else:
            number = signal.SIGUSR1 if action == "restarts" else signal.SIGUSR2
            self.running.process.send_signal(number)
            time.sleep(0.05)

    async def state(self) -> dict[str, Any]:
        async with await cno.request("GET", f"http://{HOST}:{self.ports[0]}/state") as response:
            found: dict[str, Any] = json.loads(await response.payload.read())
            return found

    def journal(self) -> tuple[Counter[int], set[int]]:
        """Return how often each request was begun, and those whose body came whole."""
        data = (self.folder / "journal").read_bytes()
        begun: Counter[int] = Counter()
        whole: set[int] = set()
        for what, number in RECORD.iter_unpack(data[: len(data) // RECORD.size * RECORD.size]):
            if what == BEGUN:
                begun[number] += 1
            elif what == WHOLE:
                whole.add(number)
        return begun, whole

    def complaints(self) -> list[tuple[str, str]]:
        lines = (self.folder / "complaints").read_text().splitlines()
        return [(kind, f"ours: {text}") for kind, text in map(json.loads, lines)]

    def _stop(self) -> list[tuple[str, str]]:
        status = self.running.stop()
        self._end()
        problems = self.complaints()
        if status != 0:
            problems.append(("end", f"ours ended with {status}: {self.running.err[-5:]}"))
            return problems
        left = json.loads(self.running.out[-1])
        if left["seconds"] > CLOSING:
            problems.append(("closing", f"ours took {left['seconds']:.0f} s to end"))
        for name in ("tasks", "files", "timers", "connections"):
            if left.get(name, 0) > 0:
                problems.append(("left", f"ours: {left[name]} {name}"))
        if left["marks"]:
            problems.append(("left", f"ours: the contexts of requests {left['marks'][:10]}"))
        return problems


NGINX = """
daemon off;
{user}
worker_processes 1;
worker_shutdown_timeout 20s;
pid {folder}/pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    log_format begun "$request_method $request_uri $status";
    access_log {folder}/journal begun;
    client_body_temp_path {folder}/a;
    proxy_temp_path {folder}/b;
    fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d;
    scgi_temp_path {folder}/e;
    client_max_body_size 0;
    keepalive_requests 500;
    server {{
        listen 127.0.0.1:{clear};
        listen 127.0.0.1:{h2c} http2;
        listen 127.0.0.1:{secure} ssl http2;
        ssl_certificate {pair.cert};
        ssl_certificate_key {pair.key};
        root {files};
        location /put/ {{ root {folder}; dav_methods PUT; create_full_put_path on; }}
        location /post/ {{ return 200 "$uri"; }}
    }}
}}
"""


class Nginx(Peer):
    """nginx. Its HTTP/2 in clear text has a port of its own."""

    name = "nginx"
    actions = ("restarts", "kills")

    def __init__(self, folder: Path, pair: Pair, files: Path) -> None:
        super().__init__(folder, pair)
        self._socks.append(reserve())
        self._files = files
        self.relayed_h2c = 0

    def url(self, wire: str, relayed: bool) -> str:
        if wire == "http2":
            return f"http://{HOST}:{self.relayed_h2c if relayed else self.ports[2]}"
        return super().url(wire, relayed)

    def start(self) -> None:
        clear, secure, h2c = self.ports
        text = NGINX.format(
            folder=self.folder, pair=self.pair, files=self._files, clear=clear, secure=secure,
            h2c=h2c, user="user root;" if os.geteuid() == 0 else "",
        )  # fmt: skip
        config = self.folder / "nginx.conf"
        config.write_text(text)
        program = find("nginx")
        assert program is not None, "nginx is not installed"
        args = [program, "-p", str(self.folder), "-c", str(config), "-e", "stderr"]
        self.running = Running(args)
        for port in self.ports:
            self.running.wait_listening(port)

    def _act(self, action: str) -> None:
        if action == "restarts":
            self.running.process.send_signal(signal.SIGHUP)
        else:
            for worker in self._workers():
                os.kill(worker, signal.SIGKILL)
        time.sleep(0.2)

    def _workers(self) -> list[int]:
        parent = self.running.process.pid
        text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        return [int(each) for each in text.split()]

    def _stop(self) -> list[tuple[str, str]]:
        self.running.stop(signal.SIGTERM)
        self._end()
        killed = re.compile(r"worker process \d+ exited on signal 9|^$")
        self.stderr = [each for each in self.stderr if not killed.search(each)]
        problems = []
        begun: Counter[str] = Counter()
        for line in (self.folder / "journal").read_text(errors="replace").splitlines():
            method, path, *_ = line.split(" ")
            if method == "POST":
                begun[path.partition("?")[0]] += 1
        for path, count in begun.items():
            if count > 1:
                problems.append(("twice", f"nginx: POST {path} {count} times"))
        return problems + [each for path in self.put_files() if (each := self.check_put(path))]

    def put_files(self) -> list[Path]:
        return list((self.folder / "put").glob("*"))

    def check_put(self, path: Path) -> tuple[str, str] | None:
        """Check a file that was uploaded, `NUMBER-SIZE`, and remove it."""
        number, size = map(int, path.name.split("-"))
        found = path.read_bytes()
        path.unlink()
        if found == body(number, UP, size):
            return None
        return ("upload", f"nginx: {path.name} has {len(found):,} bytes, or wrong ones")


class Nghttpd(Peer):
    """nghttpd: two processes, one in clear text, one for TLS."""

    name = "nghttpd"
    actions = ("kills",)

    def __init__(self, folder: Path, pair: Pair, files: Path) -> None:
        super().__init__(folder, pair)
        self._files = files
        self._secure: Running

    def start(self) -> None:
        program = find("nghttpd")
        assert program is not None, "nghttpd is not installed"
        args = [program, "-a", HOST, "-d", str(self._files), "--echo-upload"]
        clear, secure = self.ports
        self.running = Running([*args, "--no-tls", str(clear)])
        pair = [str(self.pair.key), str(self.pair.cert)]
        self._secure = Running([*args, str(secure), *pair])
        self.running.wait_listening(clear)
        self._secure.wait_listening(secure)

    def _act(self, action: str) -> None:
        self._again()

    def _end(self) -> None:
        super()._end()
        self._secure.process.kill()
        self._secure.wait()
        self.stderr += self._secure.err

    def kill(self) -> None:
        super().kill()
        self._secure.__exit__()


class Relays:
    """The relay to all peers."""

    def __init__(self, peers: list[Peer], seed: int, loop: str, patience: float) -> None:
        ports = [port for peer in peers for port in peer.ports]
        args = [sys.executable, "-m", "tests.stress.relay", *map(str, ports)]
        args += ["--seed", str(seed), "--loop", loop, "--patience", str(patience)]
        self.running = Running(args, cwd=ROOT)
        found = json.loads(self.running.wait_for(r"^(\[.*\])$")[1])
        for peer in peers:
            for number, _ in enumerate(peer.ports):
                if number == 2 and isinstance(peer, Nginx):
                    peer.relayed_h2c = found.pop(0)
                else:
                    peer.relayed[bool(number)] = found.pop(0)

    def stop(self) -> list[tuple[str, str]]:
        self.running.process.kill()
        self.running.wait()
        return [("stderr", f"relay: {line}") for line in self.running.err]


def make_files(folder: Path) -> None:
    """Write what nginx and nghttpd serve."""
    folder.mkdir()
    for size in FILES:
        (folder / f"{size}.bin").write_bytes(BASE[:size])
    (folder / "base.bin").write_bytes(BASE)


def make_peers(
    names: Sequence[str], folder: Path, pair: Pair, program: Sequence[str]
) -> list[Peer]:
    """Make peers by their names; none of them is started. `program`: our module and its options."""
    make_files(folder / "files")
    peers: list[Peer] = []
    for name in names:
        own = folder / name
        own.mkdir()
        if name == "ours":
            peers.append(Ours(own, pair, program))
        elif name == "nginx":
            peers.append(Nginx(own, pair, folder / "files"))
        else:
            peers.append(Nghttpd(own, pair, folder / "files"))
    return peers
