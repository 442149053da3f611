"""The listening sockets of a server: addresses as users write them, bound.

Knows addresses and sockets. Must never know what is served there.
"""

import contextlib
import os
import socket
import stat
from dataclasses import dataclass, field

from cno.aio.hosts import bracketed
from cno.asgi.server.config import Config
from cno.asgi.server.errors import StartupError


@dataclass
class Sockets:
    """Bound sockets, and the files of those that are Unix sockets: device and inode."""

    bound: list[socket.socket] = field(default_factory=list)
    files: list[tuple[str, int, int]] = field(default_factory=list)

    def close(self) -> None:
        """Close them here: other processes may have them open."""
        for sock in self.bound:
            sock.close()

    def remove_files(self) -> None:
        """Remove the files of Unix sockets, unless another server has replaced them."""
        for path, device, inode in self.files:
            with contextlib.suppress(OSError):
                found = os.stat(path)
                if (found.st_dev, found.st_ino) == (device, inode):
                    os.unlink(path)


def bind(config: Config) -> Sockets:
    """Bind what the options ask for. Raises StartupError."""
    made = Sockets()
    where = ""
    try:
        for where in addresses(config):
            if where.startswith("unix:"):
                bind_unix(where.removeprefix("unix:"), config, made)
            elif where.startswith("fd://"):
                made.bound.append(socket.socket(fileno=int(where.removeprefix("fd://"))))
            else:
                host, port = split(where)
                bind_tcp(host, port, made)
    except (OSError, ValueError) as error:
        made.close()
        made.remove_files()
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise StartupError(f"cannot listen on {where}: {text}", 1) from None
    for sock in made.bound:
        sock.setblocking(False)
    return made


def addresses(config: Config) -> list[str]:
    """Return the addresses to listen on, in the form of `--bind`."""
    if config.bind:
        return list(config.bind)
    found = []
    if config.uds is not None:
        found.append(f"unix:{config.uds}")
    if config.fd is not None:
        found.append(f"fd://{config.fd}")
    return found or [f"{bracketed(config.host)}:{config.port}"]


def split(where: str) -> tuple[str, int]:
    """Split host and port. Raises ValueError."""
    host, colon, port = where.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError("should be HOST:PORT, [IPV6]:PORT, unix:PATH or fd://N")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return host, int(port)


def bind_tcp(host: str, port: int, made: Sockets) -> None:
    """Bind to one port on all addresses of a host ('': all interfaces)."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError:
            continue  # a family that this system does not have
        made.bound.append(sock)
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address[0], port, *address[2:]))
        port = port or sock.getsockname()[1]


def bind_unix(path: str, config: Config, made: Sockets) -> None:
    """Bind a Unix socket, in place of one that nothing listens on."""
    try:
        mode = int(config.uds_mode or "666", 8)
    except ValueError:
        raise ValueError(f"{config.uds_mode!r} are no octal permissions") from None
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            with socket.socket(socket.AF_UNIX) as trial:
                try:
                    trial.connect(path)
                except ConnectionRefusedError:
                    os.unlink(path)
    sock = socket.socket(socket.AF_UNIX)
    made.bound.append(sock)
    sock.bind(path)
    os.chmod(path, mode)  # nobody can connect before it listens
    found = os.stat(path)
    made.files.append((path, found.st_dev, found.st_ino))


def shown(sock: socket.socket, secure: bool) -> str:
    """Return the URL of a listening socket, or its path."""
    name = sock.getsockname()
    if not isinstance(name, tuple):
        return f"unix:{name if isinstance(name, str) else os.fsdecode(name)}"
    return f"{'https' if secure else 'http'}://{bracketed(name[0])}:{name[1]}/"
