"""URLs: the address to connect to, the authority, the request target and the credentials.

Knows RFC 3986 and RFC 9110 section 4. Must never know a connection, or how one is made.

This parses by the grammar of RFC 3986, not by `urllib.parse.urlsplit`, which drops tabs and line
breaks and can find another host than other parsers do. Functions that quote import `urllib.parse`
when they run: servers never need it, and it takes a tenth of the time of `import cno`.
"""

from base64 import b64encode
from functools import lru_cache
from typing import Final

from cno.aio.hosts import parse_host, port_of
from cno.headers import HEXDIG, is_scheme, only

# Scheme of a URL -> scheme of its requests, default port, whether HTTP/2 is used without ALPN.
SCHEMES: Final = {
    "http": ("http", 80, False),
    "https": ("https", 443, False),
    "h2c": ("http", 80, True),
    "h2": ("https", 443, True),
}

#: Characters of a request target besides letters and digits; others are percent-encoded.
SAFE: Final = "%/?:@!$&'()*+,;=-._~"
#: All characters of a request target.
TARGET: Final = SAFE.encode() + (b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

#: Parsed URLs that are cached, because programs use the same ones again.
CACHED: Final = 1024


class Target:
    """A parsed URL.

    `credentials` are its `user:password@` as a field value (RFC 7617), else None. Raises ValueError
    for URLs without a host, for schemes other than HTTP's, and for hosts that other parsers could
    read differently (see `cno.aio.hosts`).
    """

    def __init__(self, url: str) -> None:
        if has_controls(url):
            raise ValueError(f"{without_password(url)!r}: a URL has no control characters")
        name, _, rest = url.partition("://")
        known = SCHEMES.get(name.lower())
        if known is None:
            raise ValueError(
                f"{without_password(url)!r}: the scheme must be one of {', '.join(SCHEMES)}"
            )
        self.scheme, default, self.force_http2 = known
        authority, path, query = split_hier_part(rest)
        if authority == "":
            raise ValueError(f"{without_password(url)!r} names no host")
        try:
            userinfo, host_text, port_text = split_authority(authority)
            host = parse_host(host_text)
            port = port_of(port_text)
            self.credentials = None if userinfo is None else credentials_of(userinfo)
            self.path = origin_form(path, query)
        except ValueError as error:
            raise ValueError(f"{without_password(url)!r}: {error}") from None
        #: The host to connect to, and the name that its certificate must have.
        self.host = host.address
        self.server_name = host.server_name
        self.port = default if port is None else port
        self.authority = host.uri_host if self.port == default else f"{host.uri_host}:{self.port}"
        #: Host and port, with a default port too: the target of CONNECT (RFC 9110 9.3.6).
        self.address = f"{host.uri_host}:{self.port}"
        #: Proxies do not forward its requests: they need a tunnel.
        self.needs_tunnel = False
        #: Requests to the same origin may share connections (RFC 9110 4.3.1).
        self.origin = f"{'h2 ' if self.force_http2 else ''}{self.scheme}://{self.host} {self.port}"


def same_server(target: Target, mark: str, *, needs_tunnel: bool = False) -> Target:
    """Return a copy of a target that shares no connections with it. `mark` is in its origin."""
    scheme = "h2c" if target.force_http2 and target.scheme == "http" else target.scheme
    same = Target(f"{scheme}://{target.authority}/")  # compiled objects have no copies
    same.server_name = target.server_name
    same.credentials = target.credentials
    same.path = target.path
    same.origin = f"{target.origin} {mark}"
    same.needs_tunnel = needs_tunnel
    return same


@lru_cache(CACHED)
def target_of(url: str) -> Target:
    """Return a parsed URL, from a cache: do not change it."""
    return Target(url)


def has_controls(text: str) -> bool:
    """Return whether there is an ASCII control character: some parsers drop some of them."""
    if text.isascii() and text.isprintable():
        return False
    for each in text:
        if each < " " or each == "\x7f":
            return True
    return False


def without_password(url: str) -> str:
    """Return a URL for an error text, without the userinfo that it may have."""
    scheme, _, rest = url.partition("://")
    at = split_hier_part(rest)[0].rfind("@")
    return url if at < 0 else f"{scheme}://...{rest[at:]}"


def split_hier_part(rest: str) -> tuple[str, str, str | None]:
    """Split what follows `scheme://` into authority, path and query (None: no query).

    Drops the fragment. (RFC 3986 3: the first of "/", "?" and "#" ends the authority.)
    """
    before, mark, query = rest.partition("#")[0].partition("?")
    authority, slash, path = before.partition("/")
    return authority, slash + path, query if mark else None


def split_authority(authority: str) -> tuple[str | None, str, str]:
    """Split an authority into userinfo (None: no userinfo), host and port. Raises ValueError."""
    userinfo, at, rest = authority.rpartition("@")
    if "\\" in authority or "@" in userinfo or "[" in userinfo or "]" in userinfo:
        # Other parsers end the host at the backslash, or the userinfo at the first "@".
        raise ValueError("a malformed authority: special characters in it must be percent-encoded")
    if rest.startswith("["):
        host, bracket, behind = rest.partition("]")
        if behind and not behind.startswith(":"):
            raise ValueError(f"{rest!r} continues after the bracket")
        return (userinfo if at else None), host + bracket, behind[1:]
    host, _, port = rest.partition(":")
    if host == "":
        raise ValueError("no host is named")
    return (userinfo if at else None), host, port


def origin_form(path: str, query: str | None) -> str:
    """Return the request target in origin-form: path and query (RFC 9112 3.2.1)."""
    target = percent_encoded(path) or "/"
    return target if query is None else f"{target}?{percent_encoded(query)}"


def percent_encoded(text: str) -> str:
    """Percent-encode the characters that a request target cannot have.

    Bytes that are not UTF-8, for instance of a Location, keep their values (surrogateescape).
    Raises ValueError for other lone surrogates.
    """
    if text.isascii() and not text.encode().translate(None, TARGET):
        return text
    from urllib.parse import quote

    try:
        return quote(text, SAFE, errors="surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("a character stands for no byte") from None


def credentials_of(userinfo: str) -> str | None:
    """Return the userinfo of a URL as Basic credentials; None if user and password are empty."""
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
    """Return the URL of a reference (a Location field, say), relative to the URL `base`.

    (RFC 3986 5.2, for all schemes; `urllib.parse.urljoin` supports some only, and drops tabs, line
    breaks and empty queries.) The result may be malformed: `Target` checks it.
    """
    scheme, colon, _ = reference.partition(":")
    if colon and is_scheme(scheme):
        return reference
    scheme, _, rest = base.partition("://")
    if reference.startswith("//"):
        return f"{scheme}:{reference}"
    authority, path, query = split_hier_part(rest)
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
    """Return an absolute path without its segments "." and ".." (RFC 3986 5.2.4)."""
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
