"""The fields that a proxy passes on: `cno.forwardable`.

Must never know a connection. Stays interpreted, so that `inspect` finds its annotations.
"""

from collections.abc import Iterable
from typing import Final

from cno.aio.fields import Headers

#: Fields of one hop, and those that a recipient of one hop consumes.
# > Intermediaries SHOULD remove or replace fields that are known to require removal before
# > forwarding, whether or not they appear as a connection-option ... Proxy-Connection, Keep-Alive,
# > TE, Transfer-Encoding, Upgrade   (RFC 9110 7.6.1)
ONE_HOP: Final = frozenset(
    (
        "connection",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    )
)


def forwardable(headers: Iterable[tuple[str, str]]) -> Headers:
    """Return the fields of a received message that a proxy passes on, as a new list.

    It leaves out the fields that concern one hop only (RFC 9110 7.6.1), those that `Connection`
    names, and credentials for a proxy. It also leaves out `Host` and the fields that begin with a
    colon, because the request that you send to the next server has its own target.
    """
    fields = list(headers)
    named: set[str] = set()
    for name, value in fields:
        if name.lower() == "connection":
            named.update(option.strip().lower() for option in value.split(","))
    kept = []
    for name, value in fields:
        lower = name.lower()
        target = lower.startswith(":") or lower == "host"
        if not target and lower not in ONE_HOP and lower not in named:
            kept.append((name, value))
    return kept
