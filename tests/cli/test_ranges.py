"""Range fields by RFC 9110 section 14: honoured, ignored, or answered by 416."""

import re
from email import message_from_bytes

from hypothesis import given
from hypothesis import strategies as st

from cno.cli.ranges import MAX_RANGES, Span, content_range, multipart, parse_range
from tests.rows import each_row


@each_row(
    ("field", "size", "spans"),
    [
        # The examples of 14.1.2, of a representation of 10000 octets.
        ("bytes=0-499", 10_000, [(0, 500)]),
        ("bytes=500-999", 10_000, [(500, 1000)]),
        ("bytes=-500", 10_000, [(9500, 10_000)]),
        ("bytes=9500-", 10_000, [(9500, 10_000)]),
        ("bytes=0-0,-1", 10_000, [(0, 1), (9999, 10_000)]),
        ("bytes= 0-999, 4500-5499, -1000", 10_000, [(0, 1000), (4500, 5500), (9000, 10_000)]),
        ("bytes=500-600,601-999", 10_000, [(500, 1000)]),
        ("bytes=500-700,601-999", 10_000, [(500, 1000)]),
        # Cut to the size.
        ("bytes=0-", 5, [(0, 5)]),
        ("bytes=0-99", 5, [(0, 5)]),
        ("bytes=4-4", 5, [(4, 5)]),
        ("bytes=-99", 5, [(0, 5)]),
        ("bytes=0-99999999999999999999999999", 5, [(0, 5)]),
        ("bytes=-99999999999999999999999999", 5, [(0, 5)]),
        ("bytes=00000000000000000000000001-2", 5, [(1, 3)]),
        # Lists: order kept, empty elements ignored, unsatisfiable ones left out.
        ("bytes=3-3,0-0", 5, [(3, 4), (0, 1)]),
        ("bytes=,0-0,,\t2-2 ,", 5, [(0, 1), (2, 3)]),
        ("bytes=7-8,0-0", 5, [(0, 1)]),
        ("bytes=0-0,-0", 5, [(0, 1)]),
        ("BYTES=0-0", 5, [(0, 1)]),
        # No byte twice, however often it is requested.
        ("bytes=0-,0-,0-,0-", 5, [(0, 5)]),
        ("bytes=3-4,0-3", 5, [(0, 5)]),
    ],
)
def test_spans(field: str, size: int, spans: list[tuple[int, int]]) -> None:
    assert parse_range(field, size) == spans


@each_row(
    ("field", "size"),
    [("bytes=5-", 5), ("bytes=5-9", 5), ("bytes=-0", 5), ("bytes=0-0", 0), ("bytes=9-,8-", 5)],
)
def test_unsatisfiable(field: str, size: int) -> None:
    assert parse_range(field, size) == []


@each_row(
    "field",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=1",
        "bytes=2-1",
        "bytes=a-b",
        "bytes=0x1-2",
        "bytes=+1-2",
        "bytes=1_0-20",
        "bytes=1 - 2",
        "bytes=--1",
        "bytes=1-2-3",
        "bytes=0-1,x",
        "bytes=0-1;2-3",
        "bytes=١-٢",  # noqa: RUF001  digits, but not of ASCII
        "lines=0-1",
        "bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(MAX_RANGES + 1)),
        "bytes=" + "," * 100_000,
        "bytes=0-0\n",
    ],
)
def test_ignored(field: str) -> None:
    assert parse_range(field, 1000) is None


def test_the_last_octets_of_nothing_are_all_of_it() -> None:
    # > When a selected representation has zero length, the only satisfiable form of range-spec in a
    # > GET request is a suffix-range with a non-zero suffix-length.   (14.1.2)
    # No Content-Range can name zero bytes, so the whole is sent, as if there were no Range.
    assert parse_range("bytes=-5", 0) is None


def test_as_many_as_allowed() -> None:
    field = "bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(MAX_RANGES))
    assert parse_range(field, 1000) == [(2 * n, 2 * n + 1) for n in range(MAX_RANGES)]


def test_content_range() -> None:
    assert content_range(Span(0, 500), 1234) == "bytes 0-499/1234"
    assert content_range(None, 1234) == "bytes */1234"


numbers = st.integers(0, 60)
specs = st.one_of(
    st.tuples(numbers, numbers).map(lambda p: f"{min(p)}-{max(p)}"),
    numbers.map(lambda n: f"{n}-"),
    numbers.map(lambda n: f"-{n}"),
)


def wanted(spec: str, size: int) -> set[int]:
    first, _, last = spec.partition("-")
    if not first:
        return set(range(max(size - int(last), 0), size))
    return set(range(int(first), min(int(last) + 1, size) if last else size))


@given(st.lists(specs, min_size=1, max_size=8), st.integers(1, 50))
def test_exactly_the_octets_asked_for_and_none_twice(specs: list[str], size: int) -> None:
    spans = parse_range("bytes=" + ",".join(specs), size)
    assert spans is not None
    octets = [octet for span in spans for octet in range(span.start, span.stop)]
    assert len(octets) == len(set(octets))
    assert set(octets) == set().union(*(wanted(spec, size) for spec in specs))
    assert all(0 <= span.start < span.stop <= size for span in spans)


def test_multipart_is_what_a_mime_parser_reads() -> None:
    data = bytes(range(256)) * 4
    parts = multipart([Span(0, 300), Span(1000, 1024)], len(data), "image/png", "b0undary")
    body = b"".join(
        head + data[span.start : span.stop]
        for head, span in zip(parts.heads, parts.spans, strict=True)
    )
    body += parts.tail
    assert len(body) == parts.size
    assert body.startswith(b"--b0undary\r\n")
    assert body.endswith(b"\r\n--b0undary--\r\n")
    # Split here, since MIME parsers change line ends in binary data.
    pieces = re.split(rb"(?:\A|\r\n)--b0undary(?:--)?\r\n", body)
    assert pieces[0] == pieces[3] == b""
    for piece, span in zip(pieces[1:3], parts.spans, strict=True):
        head, _, content = piece.partition(b"\r\n\r\n")
        fields = message_from_bytes(head)
        assert fields["content-type"] == "image/png"
        assert fields["content-range"] == content_range(span, 1024)
        assert content == data[span.start : span.stop]
