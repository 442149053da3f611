"""The hosts that a server on the loopback interface answers for: a defence against DNS rebinding.

An attacker can make the name of a web page resolve to 127.0.0.1. The page then shares an origin
with a server there and could read its files, but the browser sends the page's name as Host. Knows
the syntax of Host. Must never know a request or a socket.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from cno.aio.hosts import parse_host

#: Allowed authorities that are remembered.
MAX_REMEMBERED: Final = 256


class Hosts:
    """The allowed hosts: localhost, names below `.localhost`, IP addresses, and `names`.

    A name that begins with a dot also allows all names below it; `*` allows every host. Raises
    ValueError for names beyond ASCII that DNS cannot hold.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        names = [ascii_name(name).lower().removesuffix(".") for name in names]
        self._any = "*" in names
        self._exact = {"localhost", *(name.lstrip(".") for name in names)}
        self._suffixes = (".localhost", *(name for name in names if name[:1] == "."))
        self._allowed: set[str] = set()

    def allow(self, authority: str) -> bool:
        """Return whether to answer a request for this authority; '' is allowed."""
        if self._any or authority in self._allowed:
            return True
        if not self._is_allowed(host_of(authority)):
            return False
        if len(self._allowed) < MAX_REMEMBERED:
            self._allowed.add(authority)
        return True

    def _is_allowed(self, host: str) -> bool:
        name = host.lower().removesuffix(".")
        # Browsers always send a Host, so a request without one cannot come from a web page.
        return not name or name in self._exact or name.endswith(self._suffixes) or is_address(host)


def ascii_name(name: str) -> str:
    """Return a name in the ASCII form that browsers send."""
    if name.isascii():
        return name
    rest = name.removeprefix(".")
    return name[: len(name) - len(rest)] + parse_host(rest).uri_host


def host_of(authority: str) -> str:
    """Return the host of an authority, without port and brackets."""
    if authority[:1] == "[":
        host, _, rest = authority[1:].partition("]")
        return host if rest[:1] in ("", ":") else authority
    return authority.partition(":")[0]


def is_address(host: str) -> bool:
    """Return whether this is an IP address, which no DNS server resolves."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def are_loopback(addresses: Iterable[str]) -> bool:
    """Return whether all addresses are reachable from this machine only."""
    return all(is_loopback(address) for address in addresses)


def is_loopback(address: str) -> bool:
    """Return whether this is a loopback address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return parsed.is_loopback if mapped is None else bool(mapped.is_loopback)
