"""A site's additions to its files: fields of all responses, a password, pages for missing files.

Knows the syntax of fields and credentials. Must never know a file or a connection.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cno.cli.conditions import Headers, combined

NOSNIFF: Final = ("x-content-type-options", "nosniff")
#: The fields of `--isolate`: pages may use SharedArrayBuffer and exact timers.
ISOLATION: Final = (
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
)
#: The fields of `--cors`: pages of all other sites may read the files.
CORS: Final = (
    ("access-control-allow-origin", "*"),
    ("access-control-expose-headers", "*"),
)
_PREFLIGHT: Final = (
    ("access-control-allow-methods", "GET, HEAD, OPTIONS"),
    ("access-control-allow-headers", "*, authorization, range"),
    ("access-control-max-age", "600"),
)
CHALLENGE: Final = ("www-authenticate", 'Basic realm="cno serve", charset="UTF-8"')
# Fields that the server writes by what it sends.
_OWN: Final = frozenset(
    "connection content-encoding content-length content-range content-type etag keep-alive "
    "last-modified te trailer transfer-encoding upgrade".split()
)
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9._~!$&'()*+,;=:@-]*)+")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True)
class Site:
    """How a folder is served as a site.

    `headers`: fields of all responses; one replaces a default of the same name. `cors`: let pages
    of other sites read the files. `isolate`: send COOP and COEP. `auth`: `USER:PASSWORD` that
    requests must have. `single_page`: answer a navigation to a missing file with the root's index.
    `prefix`: the path below which the files are, `/docs`, or ''.
    Raises ValueError for a field that the server sets itself, or that is malformed.
    """

    headers: Sequence[tuple[str, str]] = ()
    cors: bool = False
    isolate: bool = False
    auth: str | None = None
    single_page: bool = False
    prefix: str = ""

    def __post_init__(self) -> None:
        for name, value in self.headers:
            if _NAME.fullmatch(name) is None or any(c in value for c in "\r\n\0"):
                raise ValueError(f"malformed header field {name!r}")
            if name.lower() in _OWN:
                raise ValueError(f"the server sets {name} itself")
        if self.prefix and not _PREFIX.fullmatch(self.prefix):
            raise ValueError("a prefix is a path like /docs or /a/b, without a slash at its end")
        if self.auth is not None and ":" not in self.auth:
            raise ValueError("credentials are USER:PASSWORD")

    def fields(self, cache_control: str | None) -> Headers:
        """Return the fields of all responses."""
        fields = dict([NOSNIFF])
        if cache_control:
            fields["cache-control"] = cache_control
        fields.update(CORS if self.cors else ())
        fields.update(ISOLATION if self.isolate else ())
        if self.cors and self.isolate:
            fields["cross-origin-resource-policy"] = "cross-origin"
        given: dict[str, list[str]] = {}
        for name, value in self.headers:
            given.setdefault(name.lower(), []).append(value)
        kept = [(name, value) for name, value in fields.items() if name not in given]
        return kept + [(name, value) for name, values in given.items() for value in values]

    def preflight(self) -> Headers:
        """Return the further fields of a response to OPTIONS."""
        return list(_PREFLIGHT) if self.cors else []

    def admits(self, headers: Headers) -> bool:
        """Return whether a request has the credentials, in a time that does not tell them."""
        if self.auth is None:
            return True
        given = credentials(combined(headers, "authorization") or "")
        wanted = hashlib.sha256(self.auth.encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(hashlib.sha256(given).digest(), wanted)


def credentials(field: str) -> bytes:
    """Return the decoded credentials of an Authorization field (RFC 7617); b'' for others."""
    scheme, _, token = field.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(token.strip(" "), validate=True)
    except (binascii.Error, ValueError):
        return b""


def navigation_vary(path: str) -> tuple[str, str]:
    """Return the Vary field of what `is_navigation` decides for a path: caches keep it apart."""
    has_dot = "." in path.partition("?")[0].rpartition("/")[2]
    return ("vary", "sec-fetch-mode, accept" if has_dot else "accept")


def is_navigation(path: str, headers: Headers) -> bool:
    """Return whether a request may be for a page of a single-page application, not for a file.

    A missing script must be a 404: the text of a page in its place gives errors that mislead. A
    name with a dot may be a page's, too, if a browser says that it wants a page.
    """
    last = path.partition("?")[0].rpartition("/")[2]
    accept = combined(headers, "accept")
    if "." in last:
        mode = combined(headers, "sec-fetch-mode")  # sent to https: and to this machine only
        return mode == "navigate" if mode else accept is not None and "text/html" in accept.lower()
    return accept is None or "text/html" in accept.lower() or "*/*" in accept
