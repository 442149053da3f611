"""Preconditions against RFC 9110 section 13, dates against 5.6.7, entity tags against 8.8.3."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cno.cli.conditions import (
    MAX_TAGS,
    Headers,
    Validators,
    matches_strongly,
    matches_weakly,
    parse_date,
    precondition,
    range_applies,
    tags,
    validators,
)
from cno.date import http_date
from tests.rows import each_row

MODIFIED = 784111777
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"
NOW = Validators('"now"', MODIFIED)


@pytest.mark.parametrize(
    "text", [DATE, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_the_three_forms_of_a_date(text: str) -> None:
    assert parse_date(text) == MODIFIED


@each_row(
    "text",
    [
        "",
        "0",
        DATE.lower(),
        DATE + " ",
        DATE.replace("GMT", "UTC"),
        DATE.replace("GMT", "+0000"),
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        f"{DATE}, {DATE}",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",  # digits, but not of ASCII
    ],
)
def test_no_date(text: str) -> None:
    assert parse_date(text) is None


def test_two_digits_of_a_year_are_never_more_than_50_years_ahead() -> None:
    def year(digits: str) -> int:
        seconds = parse_date(f"Sunday, 06-Nov-{digits} 08:49:37 GMT", now=1_700_000_000)  # 2023
        assert seconds is not None
        return time.gmtime(seconds).tm_year

    assert [year(d) for d in ("94", "23", "24", "73", "74", "00")] == [
        1994, 2023, 2024, 2073, 1974, 2000,
    ]  # fmt: skip  # pairs side by side


@given(st.integers(0, 4_000_000_000))
def test_a_date_survives(seconds: int) -> None:
    assert parse_date(http_date(seconds)) == seconds


@each_row(
    ("field", "found"),
    [
        ('"a"', [(False, '"a"')]),
        ('W/"a"', [(True, '"a"')]),
        ('"a","b"', [(False, '"a"'), (False, '"b"')]),
        ('"a" , ,\tW/"b",', [(False, '"a"'), (True, '"b"')]),
        ('"a,b"', [(False, '"a,b"')]),
        ('""', [(False, '""')]),
        ('"é"', [(False, '"é"')]),
        ("", []),
        ('"a" "b"', None),
        ("a", None),
        ('"a', None),
        ('w/"a"', None),
        ('"a b"', None),
        ("*", None),
    ],
)
def test_tags(field: str, found: list[tuple[bool, str]] | None) -> None:
    assert tags(field) == found


def test_a_long_list_takes_no_long_time() -> None:
    began = time.perf_counter()
    assert tags('"a",' * 50_000) is None
    assert len(tags('"a"' + "," * 200_000 + '"b"') or ()) == 2
    assert tags('"a"' * 50_000) is None
    assert tags('"' * 100_001) is None
    assert time.perf_counter() - began < 2


def test_comparison() -> None:
    # The table of 8.8.3.2.
    assert [matches_strongly(f, '"1"') for f in ('W/"1"', 'W/"2"', '"1"', "*")] == [0, 0, 1, 1]
    assert [matches_weakly(f, '"1"') for f in ('W/"1"', 'W/"2"', '"1"', "*")] == [1, 0, 1, 1]
    assert not matches_weakly('"1" "1"', '"1"')


@each_row(
    ("headers", "code"),
    [
        ([], 200),
        # 1. If-Match, or 412.
        ([("if-match", '"now"')], 200),
        ([("if-match", '"old", "now"')], 200),
        ([("if-match", '"old"'), ("if-match", '"now"')], 200),
        ([("if-match", "*")], 200),
        ([("if-match", '"old"')], 412),
        ([("if-match", 'W/"now"')], 412),
        ([("if-match", "now")], 412),
        # 2. Without it, If-Unmodified-Since, or 412.
        ([("if-unmodified-since", DATE)], 200),
        ([("if-unmodified-since", AFTER)], 200),
        ([("if-unmodified-since", BEFORE)], 412),
        ([("if-unmodified-since", "yesterday")], 200),
        ([("if-match", '"now"'), ("if-unmodified-since", BEFORE)], 200),
        ([("if-match", '"old"'), ("if-unmodified-since", AFTER)], 412),
        # 3. If-None-Match, or 304.
        ([("if-none-match", '"now"')], 304),
        ([("if-none-match", 'W/"now"')], 304),
        ([("if-none-match", "*")], 304),
        ([("if-none-match", '"old"')], 200),
        ([("if-none-match", '"old"'), ("if-none-match", '"now"')], 304),
        # 4. Without it, If-Modified-Since, or 304.
        ([("if-modified-since", DATE)], 304),
        ([("if-modified-since", AFTER)], 304),
        ([("if-modified-since", BEFORE)], 200),
        ([("if-modified-since", "yesterday")], 200),
        ([("if-modified-since", f"{AFTER}, {AFTER}")], 200),
        ([("if-none-match", '"old"'), ("if-modified-since", AFTER)], 200),
        ([("if-none-match", '"now"'), ("if-modified-since", BEFORE)], 304),
        # 412 goes before 304.
        ([("if-match", '"old"'), ("if-none-match", '"now"')], 412),
        ([("if-match", '"now"'), ("if-none-match", '"now"')], 304),
        ([("if-unmodified-since", BEFORE), ("if-modified-since", AFTER)], 412),
        ([("if-unmodified-since", AFTER), ("if-modified-since", AFTER)], 304),
    ],
)
def test_precedence(headers: Headers, code: int) -> None:
    assert precondition("GET", headers, NOW) == code
    assert precondition("HEAD", headers, NOW) == code


def test_other_methods_know_no_304() -> None:
    assert precondition("PUT", [("if-none-match", "*")], NOW) == 412
    assert precondition("PUT", [("if-modified-since", AFTER)], NOW) == 200


@each_row(
    ("condition", "age", "applies"),
    [
        (None, 10, True),
        ('"now"', 0, True),
        ('"old"', 10, False),
        ('W/"now"', 10, False),
        (DATE, 10, True),
        (DATE, 1, False),  # it changed just now, and may change again within the same second
        (AFTER, 10, False),
        (BEFORE, 10, False),
        ("yesterday", 10, False),
    ],
)
def test_if_range(condition: str | None, age: int, applies: bool) -> None:
    headers = [("range", "bytes=0-0")] + ([("if-range", condition)] if condition else [])
    expected = "bytes=0-0" if applies else None
    assert range_applies("GET", headers, NOW, MODIFIED + age) == expected


def test_range_is_for_get() -> None:
    assert range_applies("HEAD", [("range", "bytes=0-0")], NOW, 0) is None
    assert range_applies("GET", [("if-range", '"now"')], NOW, 0) is None


def test_a_tag_tells_sizes_and_times_apart() -> None:
    seen = {validators(size, at) for size in (0, 1, 17) for at in (10**18, 10**18 + 1, 5 * 10**17)}
    assert len({v.etag for v in seen}) == 9
    assert validators(3, 784111777_999_999_999).modified == MODIFIED
    assert len({validators(1, 10**18, ctime, inode) for ctime in (5, 6) for inode in (7, 8)}) == 4
    for about in seen:
        assert tags(about.etag) == [(False, about.etag)]


def test_more_tags_than_anybody_sends() -> None:
    """No tag matches, and none is compared."""
    etag = '"x"'
    few = ",".join([*(f'"{number}"' for number in range(MAX_TAGS - 1)), etag])
    assert matches_strongly(few, etag) and matches_weakly(few, etag)
    many = f'"",{few}'
    assert not matches_strongly(many, etag) and not matches_weakly(many, etag)
    began = time.perf_counter()
    for _ in range(100):
        assert tags('"",' * 20_000) is None
    assert time.perf_counter() - began < 1
