"""What a URL says: where to connect, whom to ask for, what to ask for.

Knows RFC 3986 and RFC 9110 section 4. Must never know a connection, or how one is made.

A URL is taken apart by the grammar of RFC 3986, not by `urllib.parse.urlsplit`: that drops tabs and
line breaks, and what it calls the host is not always where other parsers would connect to.
`urllib.parse` quotes; it is imported where that is needed: servers never do, and it is a tenth of
`import cno`.
"""

from base64 import b64encode
from functools import lru_cache
from typing import Final

from cno.aio.hosts import parse_host, port_of
from cno.headers import HEXDIG, is_scheme, only

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
    for URLs without a host, for schemes that are not HTTP's, and for hosts that other parsers might
    read in another way (see `cno.aio.hosts`).
    """

    def __init__(self, url: str) -> None:
        if has_controls(url):
            raise ValueError(f"{shown(url)!r}: a URL has no control characters")
        name, _, rest = url.partition("://")
        known = SCHEMES.get(name.lower())
        if known is None:
            raise ValueError(f"{shown(url)!r}: the scheme must be one of {', '.join(SCHEMES)}")
        self.scheme, default, self.force_http2 = known
        authority, path, query = split(rest)
        if authority == "":
            raise ValueError(f"{shown(url)!r} names no host")
        try:
            userinfo, host_text, port_text = split_authority(authority)
            host = parse_host(host_text)
            port = port_of(port_text)
            self.credentials = None if userinfo is None else credentials_of(userinfo)
            self.path = path_of(path, query)
        except ValueError as error:
            raise ValueError(f"{shown(url)!r}: {error}") from None
        #: What to connect to, and whom to expect there over TLS.
        self.host = host.address
        self.server_name = host.server_name
        self.port = default if port is None else port
        self.authority = host.named if self.port == default else f"{host.named}:{self.port}"
        #: Host and port, both always there: what CONNECT asks for (RFC 9110 9.3.6).
        self.address = f"{host.named}:{self.port}"
        #: Requests to the same origin may share connections (RFC 9110 4.3.1).
        self.origin = f"{'h2 ' if self.force_http2 else ''}{self.scheme}://{self.host} {self.port}"


@lru_cache(REMEMBERED)
def target_of(url: str) -> Target:
    """The same, remembered. Not to be changed."""
    return Target(url)


def has_controls(text: str) -> bool:
    """Whether there is a control character of ASCII: some parsers drop some of them."""
    if text.isascii() and text.isprintable():
        return False
    for each in text:
        if each < " " or each == "\x7f":
            return True
    return False


def shown(url: str) -> str:
    """A URL for an error text: without the password that may be in it."""
    scheme, _, rest = url.partition("://")
    at = split(rest)[0].rfind("@")
    return url if at < 0 else f"{scheme}://...{rest[at:]}"


def split(rest: str) -> tuple[str, str, str | None]:
    """The authority, path and query of what is behind `scheme://`; None: there is no query.

    The fragment is dropped. (RFC 3986 3: the first of "/", "?" and "#" ends the authority.)
    """
    before, mark, query = rest.partition("#")[0].partition("?")
    authority, slash, path = before.partition("/")
    return authority, slash + path, query if mark else None


def split_authority(authority: str) -> tuple[str | None, str, str]:
    """The userinfo (None: there is none), host and port of an authority. Raises ValueError."""
    userinfo, at, rest = authority.rpartition("@")
    if "\\" in authority or "@" in userinfo or "[" in userinfo or "]" in userinfo:
        # Others end the host at the backslash, or the userinfo at the first "@".
        raise ValueError("a malformed authority: what is special in it must be percent-encoded")
    if rest.startswith("["):
        host, bracket, behind = rest.partition("]")
        if behind and not behind.startswith(":"):
            raise ValueError(f"{rest!r} goes on behind the bracket")
        return (userinfo if at else None), host + bracket, behind[1:]
    host, _, port = rest.partition(":")
    if host == "":
        raise ValueError("no host is named")
    return (userinfo if at else None), host, port


def path_of(path: str, query: str | None) -> str:
    """The request target in origin-form: path and query, never the fragment (RFC 9112 3.2.1)."""
    target = quoted(path) or "/"
    return target if query is None else f"{target}?{quoted(query)}"


def quoted(text: str) -> str:
    """Text with all that has no place in a request target percent-encoded.

    Bytes that are not UTF-8, as in a Location, keep their values (by way of surrogateescape).
    Raises ValueError for other lone surrogates.
    """
    from urllib.parse import quote

    try:
        return quote(text, SAFE, errors="surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("a character stands for no byte") from None


def credentials_of(userinfo: str) -> str | None:
    """The userinfo of a URL as credentials of the Basic scheme; None if both parts are empty."""
    # > A sender MUST NOT generate the userinfo subcomponent (and its "@" delimiter) when an "http"
    # > or "https" URI reference is generated within a message   (RFC 9110 4.2.4)
    from urllib.parse import unquote_to_bytes

    at = userinfo.find("%")
    while at >= 0:
        if len(userinfo) < at + 3 or not only(HEXDIG, userinfo[at + 1 : at + 3].encode()):
            raise ValueError("a percent sign in the userinfo must be percent-encoded (%25)")
        at = userinfo.find("%", at + 3)
    name, _, password = userinfo.partition(":")
    try:
        user = unquote_to_bytes(name)
        pair = user + b":" + unquote_to_bytes(password)
    except UnicodeEncodeError:
        raise ValueError("a character of the userinfo stands for no byte") from None
    if b":" in user:
        # > ... a user-id containing a colon character is invalid   (RFC 7617 2)
        raise ValueError("a user name with a colon in it cannot be sent")
    # > The user-id and password MUST NOT contain any control characters   (RFC 7617 2)
    if any(byte < 0x20 or byte == 0x7F for byte in pair):
        raise ValueError("a control character in the userinfo cannot be sent")
    return None if pair == b":" else "Basic " + b64encode(pair).decode("ascii")


# -- references ------------------------------------------------------------------------------------


def resolve(base: str, reference: str) -> str:
    """The URL that a reference (a Location field, say) stands for, seen from the URL `base`.

    (RFC 3986 5.2, for all schemes alike; `urllib.parse.urljoin` knows some only, and drops tabs,
    line breaks and empty queries.) What it gives may be no valid URL: `Target` tells.
    """
    scheme, colon, _ = reference.partition(":")
    if colon and is_scheme(scheme):
        return reference
    scheme, _, rest = base.partition("://")
    if reference.startswith("//"):
        return f"{scheme}:{reference}"
    authority, path, query = split(rest)
    target, hash_mark, fragment = reference.partition("#")
    to, mark, asked = target.partition("?")
    if mark:
        query = asked
    elif to:
        query = None
    if to.startswith("/"):
        path = without_dots(to)
    elif to:
        # > If the base URI has a defined authority component and an empty path, then return a
        # > string consisting of "/" concatenated with the reference's path   (5.2.3)
        path = without_dots(path[: path.rfind("/") + 1] + to if path else f"/{to}")
    question = "" if query is None else f"?{query}"
    return f"{scheme}://{authority}{path}{question}{hash_mark}{fragment}"


def without_dots(path: str) -> str:
    """An absolute path with its segments "." and ".." carried out (RFC 3986 5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments and segments[len(segments) - 1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
