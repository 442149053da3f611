"""Which hosts a server on the loopback interface answers for, so that DNS cannot lend it a name.

A web page whose name is made to resolve to 127.0.0.1 (DNS rebinding) is of one origin with a server
there, and could read all that it serves; but its browser sends the page's name as the Host. Knows
hosts as fields carry them. Must never know a request or a socket.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from cno.aio.hosts import parse_host

#: Verdicts that are remembered.
MAX_REMEMBERED: Final = 256


class Hosts:
    """`names` are allowed, beside localhost, what ends in `.localhost`, and IP addresses.

    A name that begins with a dot stands for all below it too; `*` for all there are. Raises
    ValueError for names beyond ASCII that DNS cannot hold.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        names = [ascii_name(name).lower().removesuffix(".") for name in names]
        self._any = "*" in names
        self._exact = {"localhost", *(name.lstrip(".") for name in names)}
        self._suffixes = (".localhost", *(name for name in names if name[:1] == "."))
        self._allowed: set[str] = set()

    def allow(self, authority: str) -> bool:
        """Whether to answer a request for this authority; one without any is answered too."""
        if self._any or authority in self._allowed:
            return True
        if not self._judge(host_of(authority)):
            return False
        if len(self._allowed) < MAX_REMEMBERED:
            self._allowed.add(authority)
        return True

    def _judge(self, host: str) -> bool:
        name = host.lower().removesuffix(".")
        # Browsers always send a Host; who sends none is not one that a page has led astray.
        return not name or name in self._exact or name.endswith(self._suffixes) or is_address(host)


def ascii_name(name: str) -> str:
    """A name as browsers send it."""
    if name.isascii():
        return name
    rest = name.removeprefix(".")
    return name[: len(name) - len(rest)] + parse_host(rest).named


def host_of(authority: str) -> str:
    """The host without its port; an IPv6 address without its brackets."""
    if authority[:1] == "[":
        host, _, rest = authority[1:].partition("]")
        return host if rest[:1] in ("", ":") else authority
    return authority.partition(":")[0]


def is_address(host: str) -> bool:
    """Whether this is an IP address: no name, so nobody's DNS answers for it."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def are_loopback(addresses: Iterable[str]) -> bool:
    """Whether all of these can be reached from this machine only."""
    return all(is_loopback(address) for address in addresses)


def is_loopback(address: str) -> bool:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return parsed.is_loopback if mapped is None else bool(mapped.is_loopback)
