"""What a URL says: where to connect, whom to ask for, what to ask for.

Knows RFC 3986 and RFC 9110 section 4. Must never know a connection, or how one is made.

`urllib.parse` is imported by who needs it: servers never do, and it is a tenth of `import cno`.
"""

from base64 import b64encode
from functools import lru_cache
from typing import Final

# Scheme of a URL -> scheme of its requests, port, whether HTTP/2 needs no agreement.
SCHEMES: Final = {
    "http": ("http", 80, False),
    "https": ("https", 443, False),
    "h2c": ("http", 80, True),
    "h2": ("https", 443, True),
}

#: What a request target may have beside letters and digits; the rest is percent-encoded.
SAFE: Final = "%/?:@!$&'()*+,;=-._~"

#: URLs that are remembered: programs ask for the same ones again and again.
REMEMBERED: Final = 1024


class Target:
    """What a URL says about where to connect, and what to ask for there.

    `credentials` are its `user:password@` as a field value (RFC 7617), else None. Raises ValueError
    for URLs without a host, and for schemes that are not HTTP's.
    """

    def __init__(self, url: str) -> None:
        from urllib.parse import urlsplit

        parts = urlsplit(url)
        known = SCHEMES.get(parts.scheme)
        if known is None:
            raise ValueError(f"{url!r}: the scheme must be one of {', '.join(SCHEMES)}")
        if not parts.hostname:
            raise ValueError(f"{url!r} names no host")
        self.scheme, default, self.force_http2 = known
        self.host = ascii_host(parts.hostname)
        self.port = default if parts.port is None else parts.port
        named = f"[{self.host}]" if ":" in self.host else self.host
        self.authority = named if self.port == default else f"{named}:{self.port}"
        #: Host and port, both always there: what CONNECT asks for (RFC 9110 9.3.6).
        self.address = f"{named}:{self.port}"
        self.path = path_of(parts.path, parts.query)
        self.credentials = credentials_of(parts.username, parts.password)
        #: Requests to the same origin may share connections (RFC 9110 4.3.1).
        self.origin = f"{'h2 ' if self.force_http2 else ''}{self.scheme}://{self.address}"


@lru_cache(REMEMBERED)
def target_of(url: str) -> Target:
    """The same, remembered. Not to be changed."""
    return Target(url)


def ascii_host(host: str) -> str:
    """A host as DNS knows it."""
    return host if host.isascii() else host.encode("idna").decode("ascii")


def path_of(path: str, query: str) -> str:
    """The request target in origin-form: path and query, never the fragment (RFC 9112 3.2.1)."""
    from urllib.parse import quote

    target = quote(path, safe=SAFE) or "/"
    return f"{target}?{quote(query, safe=SAFE)}" if query else target


def credentials_of(username: str | None, password: str | None) -> str | None:
    """The userinfo of a URL as credentials of the Basic scheme; None if it has none."""
    # > A sender MUST NOT generate the userinfo subcomponent (and its "@" delimiter) when an "http"
    # > or "https" URI reference is generated within a message   (RFC 9110 4.2.4)
    if username is None and password is None:
        return None
    from urllib.parse import unquote

    user = unquote(username or "")
    if ":" in user:
        # > ... a user-id containing a colon character is invalid   (RFC 7617 2)
        raise ValueError("a user name with a colon in it cannot be sent")
    pair = f"{user}:{unquote(password or '')}"
    return "Basic " + b64encode(pair.encode()).decode("ascii")
