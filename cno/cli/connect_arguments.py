"""From arguments to `ConnectOptions`, for the commands that connect.

Knows the words that users type. Must never know how a connection is made.
"""

from typing import Any

from cno.cli.connecting import ConnectOptions, Redirection
from cno.cli.option_table import ArgumentError
from cno.cli.running import with_limits
from cno.limits import Limits


def connect_options(values: dict[str, Any], base: Limits) -> ConnectOptions:
    """Return how the user wants connections to be made. Raises ArgumentError."""
    if values["key"] and not values["cert"]:
        raise ArgumentError("--key needs --cert")
    if values["proxy"] and values["unix_socket"]:
        raise ArgumentError("-x and --unix-socket exclude each other")
    return ConnectOptions(
        version=values["version"] or "",
        insecure=bool(values["insecure"]),
        cacert=values["cacert"],
        limits=with_limits(values["limits"], base),
        cert=values["cert"],
        key=values["key"],
        proxy=values["proxy"],
        unix=values["unix_socket"],
        family=values["family"] or 0,
        resolve=tuple(resolve_rule(text) for text in values["resolve"]),
        connect_to=tuple(connect_rule(text) for text in values["connect_to"]),
        timeout=values["connect_timeout"],
    )


def resolve_rule(text: str) -> tuple[str, int, tuple[str, ...]]:
    """Parse HOST:PORT:ADDRESS[,ADDRESS]."""
    host, rest = host_of(text.lstrip("+"))
    port, colon, given = rest.partition(":")
    addresses = tuple(each.strip("[]") for each in given.split(",") if each)
    if not (colon and addresses and host):
        raise ArgumentError(f"--resolve {text!r}: should be 'host:port:address'")
    return host, port_of(port, text), addresses


def connect_rule(text: str) -> Redirection:
    """Parse HOST1:PORT1:HOST2:PORT2."""
    host, rest = host_of(text)
    port, _, rest = rest.partition(":")
    to, rest = host_of(rest)
    if ":" not in text or ":" in rest:
        raise ArgumentError(f"--connect-to {text!r}: should be 'host1:port1:host2:port2'")
    return host, port_of(port or "0", text), to, port_of(rest or "0", text)


def host_of(text: str) -> tuple[str, str]:
    """Split a host, which may have brackets, from what follows its colon."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    host, _, rest = text.partition(":")
    return host, rest


def port_of(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65_536):
        raise ArgumentError(f"{whole!r}: {text!r} is no port")
    return int(text)
