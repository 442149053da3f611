"""The header by which a proxy announces its client: PROXY protocol, versions 1 and 2.

Takes bytes and returns the parsed header, or raises ValueError. Must never know a socket or a
connection. The sections cited are those of
https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt
"""

import socket
from typing import Final

from cno.aio.hosts import ipv6, is_ipv4

#: The first bytes of version 2 (2.2), and of version 1 (2.1).
SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
PREFIX: Final = b"PROXY "
#: Bytes of the longest line of version 1, with its line break (2.1).
MAX_LINE: Final = 107
#: Bytes of the longest header of version 2 that is accepted. The format allows 65,551; proxies send
#: fewer than 536, or some more with the names in a client's certificate.
MAX_HEADER: Final = 4_096

#: Address families of version 2, and the size in bytes of the two addresses and ports (2.2).
UNSPECIFIED: Final = 0
INET: Final = 1
INET6: Final = 2
UNIX: Final = 3
SIZES: Final = (0, 12, 36, 216)


class AnnouncedClient:
    """The client that a header announces: host and port; None: a Unix socket."""

    def __init__(self, address: tuple[str, int] | None) -> None:
        self.address = address


class ProxyHeader:
    """A header: its size in bytes, and the client that it announces.

    `announced` is None for a connection of the proxy's own (LOCAL: a health check), and for an
    address family that the proxy does not know (UNKNOWN).
    """

    def __init__(self, size: int, announced: AnnouncedClient | None) -> None:
        self.size = size
        self.announced = announced


def parse(data: bytes) -> ProxyHeader | None:
    """Return the header at the start of `data`; None: it is incomplete.

    Raises ValueError if the header is malformed, as soon as `data` shows it.
    """
    if data.startswith(SIGNATURE[: len(data)]):
        return parse_binary(data) if len(data) >= 16 else None
    if not data.startswith(PREFIX[: len(data)]):
        raise ValueError("no PROXY header")
    end = data.find(b"\n", 0, MAX_LINE)
    if end >= 0:
        return ProxyHeader(end + 1, parse_line(data[: end + 1]))
    if len(data) >= MAX_LINE:
        raise ValueError("a PROXY header's line is too long")
    return None


# -- version 1 -------------------------------------------------------------------------------------


def parse_line(line: bytes) -> AnnouncedClient | None:
    """Return the client that a line announces (2.1). Raises ValueError."""
    text = line.decode("latin-1")
    if not text.endswith("\r\n"):
        raise ValueError("a PROXY header's line does not end with CR LF")
    words = text[:-2].split(" ")
    kind = words[1]
    if kind == "UNKNOWN":
        # > the receiver must ignore anything presented before the CRLF is found
        return None
    if kind not in ("TCP4", "TCP6") or len(words) != 6:
        raise ValueError("a malformed PROXY header")
    source = address_of(words[2], kind == "TCP6")
    address_of(words[3], kind == "TCP6")
    number_of(words[5])
    return AnnouncedClient((source, number_of(words[4])))


def address_of(text: str, version6: bool) -> str:
    """Return an address in its canonical form. Raises ValueError."""
    if version6:
        return ipv6(text)
    if not text.isascii() or not is_ipv4(text):
        raise ValueError("a malformed IPv4 address in a PROXY header")
    return text


def number_of(text: str) -> int:
    """Return a port. Raises ValueError."""
    # A decimal number from 0 to 65535 without leading zeros (2.1).
    well_formed = text.isascii() and text.isdigit() and len(text) <= 5
    if not well_formed or str(int(text)) != text or int(text) > 65_535:
        raise ValueError("a malformed port in a PROXY header")
    return int(text)


# -- version 2 -------------------------------------------------------------------------------------


def parse_binary(data: bytes) -> ProxyHeader | None:
    """Return a header of version 2 (2.2); None: it is incomplete. Raises ValueError."""
    version, command = data[12] >> 4, data[12] & 15
    family, transport = data[13] >> 4, data[13] & 15
    length = int.from_bytes(data[14:16], "big")
    # > Receivers must drop connections presenting unexpected values here.
    if version != 2 or command > 1:
        raise ValueError("a PROXY header of an unknown version, or with an unknown command")
    if command == 1 and (family > UNIX or transport > 2):
        raise ValueError("a PROXY header with an unknown address family or protocol")
    if 16 + length > MAX_HEADER:
        raise ValueError(f"a PROXY header of {16 + length} bytes: {MAX_HEADER} are accepted")
    if len(data) < 16 + length:
        return None
    if command == 0 or family == UNSPECIFIED or transport == 0:
        # > the receiver must accept this connection as valid and must use the real connection
        # > endpoints and discard the protocol block including the family which is ignored
        return ProxyHeader(16 + length, None)
    size = SIZES[family]
    if length < size:
        raise ValueError("a PROXY header that is too short for its addresses")
    check_extensions(data, 16 + size, 16 + length)
    return ProxyHeader(16 + length, AnnouncedClient(source_of(family, data[16 : 16 + size])))


def source_of(family: int, block: bytes) -> tuple[str, int] | None:
    """Return the source address and port of an address block; None: a Unix socket."""
    if family == INET:
        return socket.inet_ntop(socket.AF_INET, block[:4]), int.from_bytes(block[8:10], "big")
    if family == INET6:
        return socket.inet_ntop(socket.AF_INET6, block[:16]), int.from_bytes(block[32:34], "big")
    return None


def check_extensions(data: bytes, at: int, end: int) -> None:
    """Skip the extensions (type, length, value) after the addresses (2.2). Raises ValueError."""
    while at < end:
        if at + 3 > end:
            raise ValueError("a PROXY header that ends within an extension")
        at += 3 + int.from_bytes(data[at + 1 : at + 3], "big")
    if at != end:
        raise ValueError("a PROXY header that ends within an extension")
