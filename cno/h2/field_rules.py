"""The kind of a field by RFC 9113 section 8, and whether it is valid. Knows no message.

Each field is examined once, when it is decoded. Entries of a table keep their verdict.
"""

from typing import Final

from mypy_extensions import i64

from cno.headers import (
    CONNECTION_SPECIFIC,
    content_length,
    is_authority,
    is_lower_name,
    is_raw_target,
    is_response_value,
    is_scheme,
    is_target,
    is_token,
    is_value,
)
from cno.hpack import UNTRIMMED, Examiner
from cno.limits import Limits

# Verdicts. Those of pseudo-header fields come last.
PLAIN: Final = 1
MALFORMED: Final = 2
HOST: Final = 3
CONTENT_LENGTH: Final = 4
COOKIE: Final = 5
TE: Final = 6
CONTROLS: Final = 7  # plain, with control characters, which only a response may have
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
    # Common names, which need no check of their characters.
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


#: The section with the rule for a field that cannot have every field value.
VALUE_RULES: Final[dict[str, str]] = {
    ":method": "RFC 9110 9.1",
    ":scheme": "RFC 9113 8.3.1",
    ":authority": "RFC 9113 8.3.1",
    ":path": "RFC 9113 8.3.1",
    ":status": "RFC 9113 8.3.2",
    ":protocol": "RFC 8441 4",
    "host": "RFC 9110 7.2",
    "content-length": "RFC 9110 8.6",
    "te": "RFC 9113 8.2.2",
}


class Rules(Examiner):
    """The examiner of HTTP/2. The arguments are the fields of `Limits` with the same names."""

    def __init__(self, allow_raw_targets: bool, allow_any_authority: bool) -> None:
        self.allow_raw_targets = allow_raw_targets
        self.allow_any_authority = allow_any_authority
        super().__init__()

    def examine(self, name: str, value: str) -> i64:
        """Return the kind of a field; MALFORMED if no message may have it."""
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
            return self._unusual(kind, value)
        return kind

    def _unusual(self, kind: i64, value: str) -> i64:
        """Return the verdict on a value that does not follow the grammar of its field."""
        if kind < FIRST_PSEUDO:
            # > A field value MUST NOT start or end with an ASCII whitespace character (ASCII SP or
            # > HTAB, 0x20 or 0x09).   (RFC 9113 8.2.1)
            # HTTP/1.1 trims every value (RFC 9112 5), also of fields that frame and route, so that
            # all parsers agree on the trimmed value. Pseudo-header fields are not fields (RFC 9113
            # 8.3): they become a start line, in which a blank ends the previous word.
            if value.startswith((" ", "\t")) or value.endswith((" ", "\t")):
                return UNTRIMMED
            if (kind == PLAIN or kind == COOKIE) and is_response_value(value):
                return CONTROLS
            if kind == HOST and self.allow_any_authority and is_value(value):
                return kind
        elif kind == PATH:
            if self.allow_raw_targets and is_value(value) and is_raw_target(value):
                return kind
        elif kind == AUTHORITY:
            if self.allow_any_authority and is_value(value):
                return kind
        return MALFORMED


def _fits(kind: i64, value: str) -> bool:
    """Whether this kind of field may have this value, which has no control characters."""
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


#: Shared by all connections: an examiner has no state.
_made: Final[dict[tuple[bool, bool], Rules]] = {}


def rules(limits: Limits) -> Rules:
    """Return the examiner of a connection with these limits."""
    switches = (limits.allow_raw_targets, limits.allow_any_authority)
    made = _made.get(switches)
    if made is None:
        made = Rules(*switches)
        _made[switches] = made
    return made
