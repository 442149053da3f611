"""The host and port of a URL (RFC 3986 sections 3.2.2 and 3.2.3), and names for DNS.

Takes text and returns text, or raises ValueError: a host that other parsers could read differently
is refused. Must never know schemes, sockets or connections.
"""

import socket
from importlib import import_module
from typing import Any, Final

from cno.headers import HEXDIG, IPV6, only

#: Bytes of the longest name and label of DNS, without a dot at the end (RFC 1035 2.3.4).
MAX_NAME: Final = 253
MAX_LABEL: Final = 63

_LABEL: Final = b"abcdefghijklmnopqrstuvwxyz0123456789-_"
#: 1 where the byte may be in a label. RFC 952 has no underscore, but names of machines and
#: containers do.
LABEL: Final[bytes] = bytes(1 if byte in _LABEL else 0 for byte in range(256))
#: 1 where the byte may be in a zone id: the unreserved characters (RFC 3986 2.3).
ZONE: Final[bytes] = bytes(
    1 if byte in _LABEL + _LABEL.upper() + b".~" else 0 for byte in range(256)
)


class Host:
    """A host in three forms: to connect to, for URLs and messages, and for TLS."""

    def __init__(self, address: str, uri_host: str, server_name: str) -> None:
        #: The name to resolve, or the address. An IPv6 address may have a zone: `fe80::1%eth0`.
        self.address = address
        #: As in a URL: an IPv6 address has brackets, and no zone.
        self.uri_host = uri_host
        #: The name that a certificate must have, and that SNI sends.
        self.server_name = server_name


def parse_host(text: str) -> Host:
    """Parse the host of a URL. Raises ValueError if it is malformed."""
    if text.startswith("["):
        return _ipv6_literal(text)
    name = host_name(text)
    return Host(name, name, without_dot(name))


def _ipv6_literal(text: str) -> Host:
    # > IP-literal = "[" ( IPv6address / IPvFuture  ) "]"   (RFC 3986 3.2.2; no version of IPvFuture
    # has been defined)
    if not text.endswith("]"):
        raise ValueError(f"{text!r} does not end with its bracket")
    digits, percent, zone = text[1:-1].partition("%25")
    address = ipv6(digits)
    if percent and (not zone.isascii() or zone == "" or not only(ZONE, zone.encode())):
        raise ValueError(f"{text!r} has a malformed zone")
    # > An HTTP client, proxy, or other intermediary MUST remove any ZoneID attached to an outgoing
    # > URI, as it has only local significance at the sending host.   (RFC 6874 4)
    return Host(f"{address}%{zone}" if percent else address, f"[{address}]", address)


def ipv6(text: str) -> str:
    """Return an IPv6 address in canonical form (RFC 5952). Raises ValueError for other text."""
    if text.isascii() and only(IPV6, text.encode()):
        try:
            return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
        except OSError:
            pass
    raise ValueError(f"{text!r} is not an IPv6 address")


def host_name(text: str) -> str:
    """Return a DNS name in lower case, or an IPv4 address. Raises ValueError for other text.

    `ascii_name` converts names outside ASCII.
    """
    name = text.lower() if text.isascii() else ascii_name(text)
    bare = without_dot(name)
    if len(bare) > MAX_NAME:
        raise ValueError(f"a host name of {len(bare)} characters: {MAX_NAME} are possible")
    labels = bare.split(".")
    for label in labels:
        if label == "" or len(label) > MAX_LABEL or not only(LABEL, label.encode()):
            raise ValueError(f"{text!r} is not a host name")
    if is_number(labels[len(labels) - 1]) and (name != text or not is_ipv4(name)):
        # `inet_aton` reads 0x7f.1, 127.1 and 0177.0.0.1 as addresses; other parsers take them for
        # names, which lets them pass checks of addresses. No top-level domain is a number.
        raise ValueError(f"{text!r} is neither a host name nor an IPv4 address of four decimals")
    return name


def without_dot(name: str) -> str:
    """Return the name without the dot that marks it as absolute."""
    # > The hostname is represented as a byte string using ASCII encoding without a trailing dot.
    # > (RFC 6066 3)
    return name.removesuffix(".")


def tls_name(text: str) -> str:
    """Return the name that a certificate must have, in ASCII and without a dot at its end.

    (`ssl` itself would convert by IDNA 2003.) An address or "" stays as it is. Raises ValueError.
    """
    if text == "":
        return ""
    if ":" in text:
        return ipv6(text.removeprefix("[").removesuffix("]"))
    return without_dot(host_name(text))


def is_number(label: str) -> bool:
    """Return whether `inet_aton` would read the last label of a name as a number."""
    return label.isdigit() or (label.startswith("0x") and only(HEXDIG, label[2:].encode()))


def is_ipv4(text: str) -> bool:
    """Return whether this is an IPv4 address of RFC 3986: four decimals without leading zeros."""
    parts = text.split(".")
    for part in parts:
        if not part.isdigit() or len(part) > 3 or str(int(part)) != part or int(part) > 255:
            return False
    return len(parts) == 4


def is_address(host: str) -> bool:
    """Return whether a valid host (`Host.address`) is an address, not a name."""
    return ":" in host or is_ipv4(host)


def bracketed(host: str) -> str:
    """Return a host as URLs have it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def ip_address(host: str) -> Any:
    """Return an address as an object of `ipaddress`, without its zone; an IPv4-mapped one as IPv4.

    Raises ValueError for what is no address.
    """
    import ipaddress

    address: Any = ipaddress.ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def port_of(text: str) -> int | None:
    """Return the port of a URL; None if it is empty. Raises ValueError for other text."""
    # > port = *DIGIT   (RFC 3986 3.2.3)
    if text == "":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 5 or not 0 < int(text) < 65536:
        raise ValueError(f"{text!r} is not a port")
    return int(text)


# -- names outside ASCII ---------------------------------------------------------------------------

NEEDS_IDNA: Final = (
    "IDNA 2003 and IDNA 2008 may disagree about it: the extra cno[idna] converts such names"
)


def ascii_name(text: str) -> str:
    """Return the ASCII form of a name, by IDNA 2008 (RFC 5891) and UTS 46, non-transitional.

    The package `idna` converts it. Without the package, this converts only names on which IDNA 2003
    and 2008 agree (see `unambiguous_label`), and raises ValueError for others.
    """
    if len(text) > MAX_NAME + 1:
        raise ValueError(f"a host name of {len(text)} characters: {MAX_NAME} are possible")
    try:
        # Imported by name: neither running nor building cno needs the package.
        idna: Any = import_module("idna")
    except ImportError:
        return ".".join([unambiguous_label(label, text) for label in text.split(".")])
    try:
        encoded: bytes = idna.encode(text, uts46=True)
    except UnicodeError as error:
        raise ValueError(f"{text!r} is not a host name: {error}") from None
    return encoded.decode("ascii")


def unambiguous_label(label: str, name: str) -> str:
    """Return the ASCII form of a label of `name`, if IDNA 2003 and IDNA 2008 agree on it.

    They agree on letters, marks and digits of Unicode 3.2, the version of IDNA 2003, that neither
    normalization nor case folding changes, in that version and today. Raises ValueError for others,
    such as upper case outside ASCII.
    """
    if label.isascii():
        return label.lower()
    import unicodedata
    from encodings.idna import nameprep

    lowered = "".join([each.lower() if each.isascii() else each for each in label])
    agreed = not lowered.startswith("xn--")
    for each in lowered:
        if not each.isascii() and not is_unambiguous(each):
            agreed = False
    try:
        agreed = (
            agreed
            and nameprep(lowered) == lowered
            and unicodedata.normalize("NFKC", lowered.casefold()) == lowered
            and unicodedata.category(lowered[0])[0] != "M"
        )
    except UnicodeError:
        agreed = False
    if not agreed:
        raise ValueError(f"{name!r} is not a plain host name, and {NEEDS_IDNA}")
    return "xn--" + lowered.encode("punycode").decode("ascii")


def is_unambiguous(character: str) -> bool:
    """Return whether a character is a letter, mark or digit of Unicode 3.2, and not ignorable."""
    import unicodedata

    point = ord(character)
    # Old Hangul, and two vowels of Khmer: UTS 46 ignores some of them.
    if 0x1100 <= point <= 0x11FF or 0x17B4 <= point <= 0x17B5:
        return False
    kinds = ("Ll", "Lo", "Lm", "Mn", "Mc", "Nd")
    return (
        unicodedata.category(character) in kinds
        and unicodedata.ucd_3_2_0.category(character) in kinds
    )
