"""Conditional requests (RFC 9110 section 13), and the dates and entity tags that they compare.

Takes the text of fields and a file's validators, and decides whether the conditions hold.
Must never know a file, a request or a connection.
"""

import re
import time
from calendar import timegm
from typing import Final, NamedTuple

Headers = list[tuple[str, str]]

#: The fields that can make the response to a GET or HEAD something other than the whole file.
CONDITIONAL: Final = frozenset(
    ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range")
)

# > entity-tag = [ weak ] opaque-tag ; opaque-tag = DQUOTE *etagc DQUOTE ;
# > etagc = %x21 / %x23-7E / obs-text   (RFC 9110 8.8.3)
_TAG: Final = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\U0010ffff]*")')
_LIST: Final = re.compile(r"[ \t,]*")

#: Entity tags of a field that are compared. Caches send one for each version that they hold.
MAX_TAGS: Final = 256

_NAMES: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
_MONTHS: Final[dict[str, int]] = {name: n for n, name in enumerate(_NAMES.split(), 1)}
_DAY: Final = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG: Final = "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_MONTH: Final = "(?P<month>" + "|".join(_MONTHS) + ")"
_TIME: Final = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
# > A recipient that parses a timestamp value in an HTTP field MUST accept all three HTTP-date
# > formats.   (RFC 9110 5.6.7): IMF-fixdate, rfc850-date, asctime-date
_DATES: Final = (
    re.compile(rf"{_DAY}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT", re.ASCII),
    re.compile(rf"{_LONG}, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} GMT", re.ASCII),
    re.compile(rf"{_DAY} {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})", re.ASCII),
)


#: Modification times up to this one, in seconds, say nothing: tools that make reproducible files
#: set 0 (ostree) or 1 (Nix).
NO_TIME: Final = 1


class Validators(NamedTuple):
    """A file's validators: an entity tag as the field has it, and seconds since the epoch.

    `modified` is None if the file's time says nothing about its content.
    """

    etag: str
    modified: int | None

    @property
    def is_weak(self) -> bool:
        return self.etag[:2] == "W/"


def validators(size: int, mtime_ns: int, ctime_ns: int = 0, inode: int = 0) -> Validators:
    """Return a file's validators.

    The tag is strong: two versions differ in size, in a time or in their inode. Tools set the
    modification time as they like, for instance the same one for all files of a build; nobody sets
    the time of the inode's last change (ctime). A file without a modification time gets a weak tag.
    """
    tag = f'"{size:x}-{mtime_ns:x}-{ctime_ns:x}-{inode:x}"'
    modified = mtime_ns // 1_000_000_000
    if modified <= NO_TIME:
        return Validators(f"W/{tag}", None)
    return Validators(tag, modified)


def parse_date(text: str, now: float | None = None) -> int | None:
    """Return the seconds since the epoch of an HTTP-date in any of its forms; None if it is bad."""
    for form in _DATES:
        match = form.fullmatch(text)
        if match is not None:
            break
    else:
        return None
    year, month = int(match["year"]), _MONTHS[match["month"]]
    if len(match["year"]) == 2:
        # > Recipients of a timestamp value in rfc850-date format, which uses a two-digit year, MUST
        # > interpret a timestamp that appears to be more than 50 years in the future as
        # > representing the most recent year in the past that had the same last two digits.
        this = time.gmtime(now).tm_year
        year += this - this % 100
        year -= 100 if year > this + 50 else 0
    day, hour, minute, second = (int(match[k]) for k in ("day", "hour", "minute", "second"))
    if year < 1 or not 1 <= day <= 31 or hour > 23 or minute > 59 or second > 60:
        return None
    return timegm((year, month, day, hour, minute, second, 0, 0, 0))


def combined(headers: Headers, name: str) -> str | None:
    """Return the lines of a field as one list (RFC 9110 5.3); None if there are none."""
    lines = [value for key, value in headers if key == name]
    return ", ".join(lines) if lines else None


def tags(field: str) -> list[tuple[bool, str]] | None:
    """Return the entity tags of a list, each as (is weak, opaque tag with quotes).

    Returns None for bad syntax and for more than `MAX_TAGS`: no tag matches then.
    """
    found: list[tuple[bool, str]] = []
    at = 0
    while True:
        skipped = _LIST.match(field, at)
        gap = skipped.group() if skipped else ""
        at += len(gap)
        if at == len(field):
            return found
        if found and "," not in gap:
            return None
        match = _TAG.match(field, at)
        if match is None or len(found) == MAX_TAGS:
            return None
        found.append((match.group(1) is not None, match.group(2)))
        at = match.end()


def matches_strongly(field: str, etag: str) -> bool:
    """Return whether If-Match is true: `*`, or it has this tag, not weak (RFC 9110 8.8.3.2)."""
    # > An origin server MUST use the strong comparison function when comparing entity tags for
    # > If-Match (13.1.1)
    if field.strip(" \t") == "*":
        return True
    return etag in field and (False, etag) in (tags(field) or ())  # never true of a weak tag


def matches_weakly(field: str, etag: str) -> bool:
    """Return whether If-None-Match names this tag, weak or not, or is `*`."""
    # > A recipient MUST use the weak comparison function when comparing entity tags for
    # > If-None-Match (13.1.2)
    if field.strip(" \t") == "*":
        return True
    opaque = etag.removeprefix("W/")
    return opaque in field and any(tag == opaque for _, tag in tags(field) or ())


def precondition(method: str, headers: Headers, now: Validators) -> int:
    """Evaluate the conditions of a request that would be answered 200: return 200, 304 or 412.

    Follows the order of RFC 9110 13.2.2. `range_applies` evaluates Range and If-Range.
    """
    if (field := combined(headers, "if-match")) is not None:
        if not matches_strongly(field, now.etag):
            return 412
    elif (field := combined(headers, "if-unmodified-since")) is not None:
        # > A recipient MUST ignore the If-Unmodified-Since header field if the received field value
        # > is not a valid HTTP-date   (13.1.4)
        # > [...] or if the selected representation does not have a modification date available
        since = parse_date(field)
        if since is not None and now.modified is not None and now.modified > since:
            return 412
    if (field := combined(headers, "if-none-match")) is not None:
        if matches_weakly(field, now.etag):
            return 304 if method in ("GET", "HEAD") else 412
    elif method in ("GET", "HEAD") and (field := combined(headers, "if-modified-since")):
        # > A recipient MUST ignore If-Modified-Since if the request contains an If-None-Match
        # > header field   (13.1.3)
        since = parse_date(field)
        if since is not None and now.modified is not None and now.modified <= since:
            return 304
    return 200


def range_applies(method: str, headers: Headers, validators: Validators, now: float) -> str | None:
    """Return the Range field to honour; None if there is none, or If-Range is false."""
    # > A server MUST ignore a Range header field received with a request method that is
    # > unrecognized or for which range handling is not defined. For this specification, GET is the
    # > only method for which range handling is defined.   (14.2)
    field = combined(headers, "range") if method == "GET" else None
    condition = combined(headers, "if-range")
    if field is None or condition is None:
        return field
    if condition[:1] == '"' or condition[:2] == "W/":
        # > If the entity-tag validator provided exactly matches the ETag field value for the
        # > selected representation using the strong comparison function [...], the condition is
        # > true.   (13.1.5)
        return field if condition == validators.etag and not validators.is_weak else None
    if validators.modified is None:
        return None
    # > If the HTTP-date validator provided is not a strong validator in the sense defined by
    # > Section 8.8.2.2, the condition is false.
    # > If the HTTP-date validator provided exactly matches the Last-Modified field value for the
    # > selected representation, the condition is true.
    exact = parse_date(condition) == validators.modified
    return field if exact and now - validators.modified >= 2 else None
