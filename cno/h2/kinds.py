"""What kind of field a field is, by RFC 9113 section 8, and whether it may be. Knows no message.

Each is examined once, when its text has come: one that a table holds costs a look the next time it
is referred to.
"""

from typing import Final

from mypy_extensions import i64

from cno.headers import (
    CONNECTION_SPECIFIC,
    content_length,
    is_authority,
    is_lower_name,
    is_scheme,
    is_target,
    is_token,
    is_value,
)
from cno.hpack import Examiner

# Verdicts. Pseudo-header fields come last.
PLAIN: Final = 1
MALFORMED: Final = 2
HOST: Final = 3
CONTENT_LENGTH: Final = 4
COOKIE: Final = 5
TE: Final = 6
METHOD: Final = 8
SCHEME: Final = 9
AUTHORITY: Final = 10
PATH: Final = 11
STATUS: Final = 12
PROTOCOL: Final = 13
FIRST_PSEUDO: Final = METHOD

KINDS: Final[dict[str, int]] = {
    ":method": METHOD,
    ":scheme": SCHEME,
    ":authority": AUTHORITY,
    ":path": PATH,
    ":status": STATUS,
    ":protocol": PROTOCOL,
    "host": HOST,
    "content-length": CONTENT_LENGTH,
    "cookie": COOKIE,
    "te": TE,
    # Names met often, so that their octets need no look.
    "accept": PLAIN,
    "accept-encoding": PLAIN,
    "accept-language": PLAIN,
    "authorization": PLAIN,
    "cache-control": PLAIN,
    "content-type": PLAIN,
    "date": PLAIN,
    "etag": PLAIN,
    "if-modified-since": PLAIN,
    "if-none-match": PLAIN,
    "last-modified": PLAIN,
    "location": PLAIN,
    "priority": PLAIN,
    "range": PLAIN,
    "referer": PLAIN,
    "server": PLAIN,
    "set-cookie": PLAIN,
    "user-agent": PLAIN,
    "vary": PLAIN,
}


class Rules(Examiner):
    """The examiner of HTTP/2."""

    def examine(self, name: str, value: str) -> i64:
        """What kind of field this is; MALFORMED if it may not exist at all."""
        found = KINDS.get(name)
        kind: i64 = PLAIN
        if found is not None:
            kind = found
        elif not is_lower_name(name):
            # > A request or response containing uppercase or otherwise invalid field names MUST be
            # > treated as malformed; "Endpoints MUST NOT generate pseudo-header fields other than
            # > those defined in this document."   (RFC 9113 8.2.1, 8.3)
            kind = MALFORMED
        elif name in CONNECTION_SPECIFIC:
            # > An endpoint MUST NOT generate an HTTP/2 message containing connection-specific
            # > header fields. ... Any message containing connection-specific header fields MUST be
            # > treated as malformed.   (RFC 9113 8.2.2)
            kind = MALFORMED
        if kind != MALFORMED and not (is_value(value) and _fits(kind, value)):
            kind = MALFORMED
        return kind


def _fits(kind: i64, value: str) -> bool:
    """Whether this value, of legal octets, is one that this kind of field may have."""
    if kind == PLAIN or kind == COOKIE:
        return True
    if kind == METHOD or kind == PROTOCOL:
        return is_token(value)
    if kind == SCHEME:
        return is_scheme(value)
    if kind == AUTHORITY or kind == HOST:
        return is_authority(value)
    if kind == PATH:
        return is_target(value)
    if kind == STATUS:
        return len(value) == 3 and value.isascii() and value.isdigit() and value[0] != "0"
    if kind == CONTENT_LENGTH:
        return content_length(value) >= 0
    # > The only exception to this is the TE header field, which MAY be present in an HTTP/2
    # > request; when it is, it MUST NOT contain any value other than "trailers".   (8.2.2)
    return value.lower() == "trailers"


#: One for all connections: there is nothing that it remembers.
RULES: Final = Rules()
