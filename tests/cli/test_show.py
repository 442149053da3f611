"""What may reach a terminal: nothing that it would obey."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cno.cli.show import harmless, is_binary, kind_of
from cno.cli.text import one_line


@given(st.text(st.characters(), max_size=50))
def test_nothing_a_terminal_would_obey(text: str) -> None:
    shown = harmless(text)
    shown.encode()
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in shown if c not in "\n\t")
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in one_line(text))
    assert "\n" not in one_line(text)


def test_what_it_looks_like() -> None:
    assert harmless("a\r\nb\tc") == "a\nb\tc"
    assert harmless("\x1b[31m\x00\x7f\r") == "\u241b[31m\u2400\u2421\u240d"
    assert harmless("\x9b31m\udcff\u202e") == "\ufffd31m\ufffd\ufffd"
    assert harmless("é 漢 😀") == "é 漢 😀"


@pytest.mark.parametrize(
    ("value", "kind", "charset"),
    [
        ("text/html; charset=ISO-8859-1", "text/html", "iso-8859-1"),
        ("TEXT/HTML;charset='utf-8'", "text/html", "utf-8"),
        ('application/json; a=b; charset="UTF-16"', "application/json", "utf-16"),
        ("text/plain; charset=no-such", "text/plain", "utf-8"),
        ("text/plain; charset=zlib", "text/plain", "utf-8"),
        ("text/plain; charset=hex", "text/plain", "utf-8"),
        ("text/plain; charset=", "text/plain", "utf-8"),
        ("text/plain; charset=a\x00b", "text/plain", "utf-8"),
        ("text/plain; charset*=utf-8''%ff", "text/plain", "utf-8"),
    ],
)
def test_the_type_of_a_body(value: str, kind: str, charset: str) -> None:
    assert kind_of([("content-type", value)]) == (kind, charset)


def test_no_type() -> None:
    assert kind_of([])[1] == "utf-8"


def test_what_is_binary() -> None:
    assert is_binary("text/plain", "a\0b")
    assert is_binary("image/png", "text")
    assert is_binary("", "\ufffd" * 10)
    assert not is_binary("image/svg+xml", "<svg>")
    assert not is_binary("", "text with one \ufffd in it")
    assert not is_binary("", "")
