"""The addresses and names of this machine on the local network, and a QR code of a URL.

Knows sockets and the library that makes QR codes. Must never know what is served.
"""

import contextlib
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final, TextIO

from cno.aio.hosts import bracketed

#: Addresses of documentation (RFC 5737, RFC 3849): the system looks for a way there and sends
#: nothing, which tells this machine's address on that way.
_SOMEWHERE: Final = (
    (socket.AF_INET, "192.0.2.1"),
    (socket.AF_INET6, "2001:db8::1"),
)
#: Hosts that mean all interfaces.
ALL: Final = ("0.0.0.0", "::")


def local_addresses() -> list[str]:
    """Return the addresses at which other machines may reach this one, IPv4 first."""
    found: list[str] = []
    for family, target in _SOMEWHERE:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            found.append(str(probe.getsockname()[0]))
    with contextlib.suppress(OSError, UnicodeError):
        for *_, name in socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM):
            found.append(str(name[0]))
    addresses = [ip_address(address) for address in dict.fromkeys(found) if "%" not in address]
    usable = [each for each in addresses if not (each.is_loopback or each.is_link_local)]
    return [str(each) for each in sorted(usable, key=lambda each: each.version)]


def local_names() -> list[str]:
    """Return the names by which other machines may know this one: its own, and that of mDNS."""
    name = socket.gethostname().rstrip(".").lower()
    if not name or not name.isascii() or name == "localhost" or " " in name:
        return []
    return [name] if "." in name else [name, f"{name}.local"]


def local_urls(scheme: str, port: int, prefix: str = "") -> list[str]:
    """Return the URLs of a server on this machine, for others."""
    return [f"{scheme}://{bracketed(each)}:{port}{prefix}/" for each in local_addresses()]


def qr_code(url: str, file: TextIO) -> str:
    """Return a QR code of a URL for a terminal, dark on light; '' if that cannot be had."""
    try:
        import segno
    except ModuleNotFoundError:
        return ""
    matrix = [list(row) for row in segno.make(url, error="l", micro=False).matrix_iter(border=2)]
    text = half_blocks(matrix)
    try:
        text.encode(file.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return ""
    return text


def half_blocks(matrix: Sequence[Sequence[int]]) -> str:
    """Return a matrix as lines of blocks, two rows of it in each; 1 is dark.

    The light squares are drawn, since most terminals are dark; cameras read the other way too.
    """
    signs = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
    lines = []
    for at in range(0, len(matrix), 2):
        lower = matrix[at + 1] if at + 1 < len(matrix) else [1] * len(matrix[at])
        pairs = zip(matrix[at], lower, strict=True)
        lines.append("".join(signs[bool(a), bool(b)] for a, b in pairs))
    return "\n".join(lines)
