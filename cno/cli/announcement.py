"""What `cno serve` says when it starts: where it listens, how others reach it.

Knows addresses and terminals. Must never know responses.
"""

import shlex
import socket
import sys
import webbrowser
from collections.abc import Iterable, Sequence
from threading import Thread
from typing import Any

from cno.aio.hosts import bracketed
from cno.cli.local_addresses import ALL, local_urls, qr_code
from cno.cli.text import one_line


def announcement(sockets: Sequence[socket.socket], root: str, scheme: str, prefix: str) -> str:
    """Return the line that names the addresses and the folder."""
    places = dict.fromkeys(place_of(each, scheme, prefix) for each in sockets)
    return f"{' '.join(places)} serves {one_line(root)} over HTTP/2 and HTTP/1.1"


def place_of(sock: socket.socket, scheme: str, prefix: str = "") -> str:
    """Return a socket's address as a URL; that of a Unix socket as its path."""
    name: Any = sock.getsockname()
    if not isinstance(name, tuple):
        text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        return f"unix:{one_line(text)}"
    return f"{scheme}://{bracketed(name[0])}:{name[1]}{prefix}/"


def lan_lines(sockets: Iterable[socket.socket], scheme: str, prefix: str) -> list[str]:
    """Return lines with the URLs for other machines, and on a terminal a QR code of the first."""
    port = next((each.getsockname()[1] for each in sockets), 0)
    urls = local_urls(scheme, port, prefix)
    if not urls:
        return ["No address of this machine was found that others can reach."]
    lines = [f"On the local network: {' '.join(urls)}"]
    if sys.stdout.isatty():
        code = qr_code(urls[0], sys.stdout)
        lines.append(code or "(For a QR code: pip install 'cno[lan]')")
    return lines


def trust_lines(path: str, lan: bool) -> list[str]:
    """Return lines about the authority at `path`, and how other devices get its certificate."""
    lines = [f"Devices that trust this authority trust the server: {one_line(path)}"]
    if lan:
        command = one_line(f"cno serve {shlex.quote(path)} --lan -p 0")
        lines.append(f"Install it once on each device; this brings it there: {command}")
    return lines


def open_browser(sockets: Sequence[socket.socket], scheme: str, prefix: str) -> None:
    """Open a browser at the first address, in a thread: starting one may block."""
    name = sockets[0].getsockname()
    if not isinstance(name, tuple):
        return  # browsers know no Unix sockets
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(str(name[0]), str(name[0]))
    url = f"{scheme}://{bracketed(host)}:{name[1]}{prefix}/"
    Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def is_everywhere(host: str) -> bool:
    """Return whether a host means all interfaces."""
    return host in ALL
