"""Range requests (RFC 9110 section 14): the ranges that a field asks for, and multipart bodies.

Takes the text of a field and a size, returns numbers and bytes. Must never know a file, a request
or a connection.
"""

import re
from typing import Final, NamedTuple

#: Ranges in one field. Beyond, the whole file is sent.
MAX_RANGES: Final = 16

# > ranges-specifier = range-unit "=" range-set ; range-set = 1#range-spec
# > range-spec = int-range / suffix-range / other-range   (RFC 9110 14.1.1)
_SPEC: Final = re.compile(r"(?:([0-9]+)-([0-9]+)?|-([0-9]+))")


class Span(NamedTuple):
    """The bytes from `start` up to, not including, `stop` of a representation."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


def parse_range(field: str, size: int, most: int = MAX_RANGES) -> list[Span] | None:
    """Return the spans that `field` asks for, of `size` bytes (RFC 9110 14.1.2, 14.2).

    None (another unit, bad syntax, too many ranges): ignore the field. An empty list: no range can
    be satisfied, answer 416. Spans that overlap or touch are merged, and then all are sorted;
    otherwise they keep the order of the field.
    """
    unit, equals, rest = field.partition("=")
    # > All range unit names are case-insensitive   (14.1)
    if not equals or unit.strip(" \t").lower() != "bytes" or rest.count(",") >= 4 * most:
        return None
    spans: list[Span] = []
    specs = [spec.strip(" \t") for spec in rest.split(",")]
    asked = [spec for spec in specs if spec]  # empty list elements are to be ignored (5.6.1.2)
    if not asked or len(asked) > most:
        return None
    for spec in asked:
        match = _SPEC.fullmatch(spec)
        if match is None:
            return None
        first, last, suffix = match.groups()
        if first is None:
            span = _suffix(_number(suffix), size)
        elif last is None:
            span = _span(_number(first), size, size)
        elif _number(last) < _number(first):
            # > An int-range is invalid if the last-pos value is present and less than first-pos.
            return None
        else:
            span = _span(_number(first), _number(last) + 1, size)
        if span is None:
            continue
        if span.size == 0:  # the suffix of an empty file, which no Content-Range can express
            return None
        spans.append(span)
    return _merged(spans)


def _number(digits: str) -> int:
    """Convert digits of any count. Numbers beyond the size of any file become one large number."""
    # > Since there is no predefined limit to the length of content, recipients MUST anticipate
    # > potentially large decimal numerals and prevent parsing errors due to integer conversion
    # > overflows.   (14.1.2)
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) < 20 else 10**20


def _span(start: int, stop: int, size: int) -> Span | None:
    """Return a span cut to the size; None if it begins behind the end."""
    return Span(start, min(stop, size)) if start < size else None


def _suffix(length: int, size: int) -> Span | None:
    """Return the span of the last `length` bytes; None if `length` is 0."""
    # > If the selected representation is shorter than the specified suffix-length, the entire
    # > representation is used.
    return Span(max(size - length, 0), size) if length else None


def _merged(spans: list[Span]) -> list[Span]:
    """Merge overlapping spans, so that no response is longer than the whole file."""
    # > When multiple ranges are requested, a server MAY coalesce any of the ranges that overlap
    # > (RFC 9110 15.3.7.2)
    ordered = sorted(spans)
    merged: list[Span] = ordered[:1]
    for span in ordered[1:]:
        if span.start <= merged[-1].stop:
            merged[-1] = Span(merged[-1].start, max(merged[-1].stop, span.stop))
        else:
            merged.append(span)
    return spans if len(merged) == len(spans) else merged


def content_range(span: Span | None, size: int) -> str:
    """Return the Content-Range of a part; of a 416 response if `span` is None."""
    return f"bytes */{size}" if span is None else f"bytes {span.start}-{span.stop - 1}/{size}"


class Multipart(NamedTuple):
    """A multipart/byteranges body (RFC 9110 14.6): a head before each span, and the end."""

    heads: list[bytes]
    spans: list[Span]
    tail: bytes

    @property
    def size(self) -> int:
        parts = sum(span.size for span in self.spans)
        return parts + sum(len(head) for head in self.heads) + len(self.tail)


def multipart(spans: list[Span], size: int, kind: str, boundary: str) -> Multipart:
    """Return the multipart body for two or more spans of `size` bytes of content type `kind`.

    `boundary` must not occur in the content: use 128 random bits.
    """
    heads = [
        (
            f"\r\n--{boundary}\r\ncontent-type: {kind}\r\n"
            f"content-range: {content_range(span, size)}\r\n\r\n"
        ).encode()
        for span in spans
    ]
    return Multipart([heads[0][2:], *heads[1:]], spans, f"\r\n--{boundary}--\r\n".encode())
