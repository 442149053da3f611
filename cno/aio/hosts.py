"""The host and port of a URL (RFC 3986 sections 3.2.2 and 3.2.3), and the name that DNS knows.

Takes text and gives text, or raises ValueError: a host that other parsers read in another way is
refused, never guessed. Must never know schemes, sockets or connections.
"""

import socket
from importlib import import_module
from typing import Any, Final

from cno.headers import HEXDIG, IPV6, only

#: The longest name that DNS can hold, in bytes and without a dot at its end (RFC 1035 2.3.4).
MAX_NAME: Final = 253
MAX_LABEL: Final = 63

_LABEL: Final = b"abcdefghijklmnopqrstuvwxyz0123456789-_"
#: 1 where the byte may be in a label. The underscore is in no host name of RFC 952, but in many
#: names of machines and containers.
LABEL: Final[bytes] = bytes(1 if byte in _LABEL else 0 for byte in range(256))
#: 1 where the byte may be in a zone id: unreserved (RFC 3986 2.3).
ZONE: Final[bytes] = bytes(
    1 if byte in _LABEL + _LABEL.upper() + b".~" else 0 for byte in range(256)
)


class Host:
    """A host in the three forms that are needed: to connect, to name it in a message, for TLS."""

    def __init__(self, address: str, named: str, server_name: str) -> None:
        #: What to look up or connect to. An IPv6 address may have a zone: `fe80::1%eth0`.
        self.address = address
        #: As in a URL: an IPv6 address is in brackets.
        self.named = named
        #: Whom a certificate must name, and what SNI says.
        self.server_name = server_name


def parse_host(text: str) -> Host:
    """Parse the host of a URL. Raises ValueError for one that is none."""
    if text.startswith("["):
        return _ipv6_literal(text)
    name = host_name(text)
    return Host(name, name, without_dot(name))


def _ipv6_literal(text: str) -> Host:
    # > IP-literal = "[" ( IPv6address / IPvFuture  ) "]"   (RFC 3986 3.2.2; nobody has defined a
    # > version of IPvFuture)
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
    """An IPv6 address in its canonical form (RFC 5952). Raises ValueError for anything else."""
    if text.isascii() and only(IPV6, text.encode()):
        try:
            return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
        except OSError:
            pass
    raise ValueError(f"{text!r} is not an IPv6 address")


def host_name(text: str) -> str:
    """A name as DNS knows it, in lower case, or an IPv4 address. Raises ValueError for others.

    Names outside ASCII are converted by `ascii_name`.
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
        # What `inet_aton` reads as an address other programs take for a name (0x7f.1, 127.1,
        # 0177.0.0.1): a check of one would be passed by the other. No top-level domain is a number.
        raise ValueError(f"{text!r} is neither a host name nor an IPv4 address of four decimals")
    return name


def without_dot(name: str) -> str:
    """The name without the dot that marks it as absolute."""
    # > The hostname is represented as a byte string using ASCII encoding without a trailing dot.
    # > (RFC 6066 3)
    return name.removesuffix(".")


def tls_name(text: str) -> str:
    """Whom a certificate is to name, as `ssl` wants it (which knows IDNA 2003 only): a name in
    ASCII without a dot at its end, or an address. Raises ValueError; "" stays as it is."""
    if text == "":
        return ""
    if ":" in text:
        return ipv6(text.removeprefix("[").removesuffix("]"))
    return without_dot(host_name(text))


def is_number(label: str) -> bool:
    """Whether `inet_aton` might take this, at the end of a name, for a number."""
    return label.isdigit() or (label.startswith("0x") and only(HEXDIG, label[2:].encode()))


def is_ipv4(text: str) -> bool:
    """Whether this is an IPv4 address as RFC 3986 has it: four decimals without leading zeros."""
    parts = text.split(".")
    for part in parts:
        if not part.isdigit() or len(part) > 3 or str(int(part)) != part or int(part) > 255:
            return False
    return len(parts) == 4


def is_address(host: str) -> bool:
    """Whether a host that is valid (see `Host.address`) is an address, not a name."""
    return ":" in host or is_ipv4(host)


def ip_address(host: str) -> Any:
    """Return an address as an object of `ipaddress`, without its zone; an IPv4-mapped one as IPv4.

    Raises ValueError for what is no address.
    """
    import ipaddress

    address: Any = ipaddress.ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def port_of(text: str) -> int | None:
    """The port of a URL, None for an empty one. Raises ValueError for what is none."""
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
    """A name outside ASCII in its ASCII form, by IDNA 2008 (RFC 5891) and UTS 46, non-transitional.

    That is what the package `idna` does. Without it, only those names are converted whose form is
    beyond doubt (see `certain_label`). Raises ValueError for all others.
    """
    if len(text) > MAX_NAME + 1:
        raise ValueError(f"a host name of {len(text)} characters: {MAX_NAME} are possible")
    try:
        # By its name: the package need not be there, neither to run nor to build this one.
        idna: Any = import_module("idna")
    except ImportError:
        return ".".join([certain_label(label, text) for label in text.split(".")])
    try:
        encoded: bytes = idna.encode(text, uts46=True)
    except UnicodeError as error:
        raise ValueError(f"{text!r} is not a host name: {error}") from None
    return encoded.decode("ascii")


def certain_label(label: str, name: str) -> str:
    """A label of `name` in its ASCII form, which is the same by IDNA 2003 and by IDNA 2008.

    Letters, marks and digits that neither standard maps to others: they were in Unicode 3.2, which
    is what IDNA 2003 knows, and normalization and case folding leave them alone, then and now.
    Raises ValueError for all others, upper case outside ASCII among them.
    """
    if label.isascii():
        return label.lower()
    import unicodedata
    from encodings.idna import nameprep

    lowered = "".join([each.lower() if each.isascii() else each for each in label])
    certain = not lowered.startswith("xn--")
    for each in lowered:
        if not each.isascii() and not is_certain(each):
            certain = False
    try:
        certain = (
            certain
            and nameprep(lowered) == lowered
            and unicodedata.normalize("NFKC", lowered.casefold()) == lowered
            and unicodedata.category(lowered[0])[0] != "M"
        )
    except UnicodeError:
        certain = False
    if not certain:
        raise ValueError(f"{name!r} is not a plain host name, and {NEEDS_IDNA}")
    return "xn--" + lowered.encode("punycode").decode("ascii")


def is_certain(character: str) -> bool:
    """Whether a character is a letter, mark or digit of Unicode 3.2 that is not ignorable."""
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
