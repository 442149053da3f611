"""Text for a terminal: no control characters, and bounded in size."""

import asyncio
import json
import re
import time
import tracemalloc
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cno.cli.highlight import highlighted
from cno.cli.output import MAX_TYPE, is_binary, kind_of
from cno.cli.pretty_json import pretty_json
from cno.cli.text import Paint, coloured_only, escaped, harmless, one_line

BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")


@given(st.text(st.characters(), max_size=50))
def test_nothing_a_terminal_would_obey(text: str) -> None:
    shown = harmless(text)
    shown.encode()
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in shown if c not in "\n\t")
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in one_line(text))
    assert "\n" not in one_line(text)
    assert not BIDI.intersection(harmless(text) + one_line(text) + escaped(text))
    assert coloured_only(harmless(text)) == harmless(text)


@given(st.text(st.sampled_from("\x1b[]31m;m\x9b\u202e\x07a\n"), max_size=30))
def test_only_colours_are_obeyed(text: str) -> None:
    rest = re.sub("\x1b\\[[0-9;]*m", "", coloured_only(text))
    assert "\x1b" not in rest and "\x07" not in rest and "\x9b" not in rest
    assert not BIDI.intersection(rest)


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
        ("text/plain; charset=punycode", "text/plain", "utf-8"),
        ("text/plain; charset=IDNA", "text/plain", "utf-8"),
        ("text/plain; charset=unicode_escape", "text/plain", "utf-8"),
        ("text/plain; charset=raw-unicode-escape", "text/plain", "utf-8"),
        ("text/plain; " + '";' * 30_000, "text/plain", "utf-8"),
        ("text/plain; charset=a\x00b", "text/plain", "utf-8"),
        ("text/plain; charset*=utf-8''%ff", "text/plain", "utf-8"),
    ],
)
def test_the_type_of_a_body(value: str, kind: str, charset: str) -> None:
    if len(value) > MAX_TYPE:
        kind = ""
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


# -- JSON ------------------------------------------------------------------------------------------


class Plain(Paint):
    """A `Paint` without colours, or with marks in their place."""

    def __init__(self, marks: bool = False) -> None:
        self.marks = marks

    def __call__(self, text: str, style: str) -> str:
        return f"<{style} {text}>" if self.marks else text


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=30,
)


@given(VALUES, st.booleans())
def test_json_means_the_same(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    dressed = pretty_json(text, Plain())
    assert dressed is not None and json.loads(dressed) == value
    assert harmless(dressed) == dressed
    indented = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    if harmless(indented) == indented:
        assert dressed == indented


def test_json_looks_like_this() -> None:
    text = (
        ' {"a": [1.50, -2E9, true, {}], "b": {"c": []},"a":null, "d\\u00e9\\u009b": "\\"\\/\u202e"}'
    )
    assert pretty_json(text, Plain()) == (
        '{\n  "a": [\n    1.50,\n    -2E9,\n    true,\n    {}\n  ],\n  "b": {\n    "c": []\n  },\n'
        '  "a": null,\n  "dé\\u009b": "\\"/\\u202e"\n}\n'
    )
    marked = pretty_json('{"k":["v",1,null]}', Plain(True)) or ""
    assert marked.split() == '{ <blue "k">: [ <green "v">, <cyan 1>, <magenta null> ] }'.split()


@pytest.mark.parametrize(
    "text", ["", "{", "[1,]", "nonsense", '"\x1b"', "[" * 100_000, "1" * 5_000]
)
def test_what_is_no_json(text: str) -> None:
    assert pretty_json(text, Plain()) is None


@pytest.mark.parametrize(
    "text",
    [
        "[" * 900 + ",".join("1" * 19_000) + "]" * 900,
        '{"a":' * 900 + ",".join(["[" + ",".join("1" * 9_000) + "]"]) + "}" * 900,
    ],
)
def test_indentation_does_not_make_it_large(text: str) -> None:
    """40 kB would become 34 MB, which is detected before."""
    tracemalloc.start()
    try:
        assert pretty_json(text, Plain()) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20


@pytest.mark.parametrize(
    "text",
    [
        '["' + "x" * 260_000 + '"]',
        '["' + '\\"' * 130_000 + '"]',
        "[" + ",".join(["[]"] * 80_000) + "]",
        "[" + ",".join("1" * 130_000) + "]",
    ],
)
def test_large_json_takes_linear_time(text: str) -> None:
    began = time.process_time()
    dressed = pretty_json(text, Plain())
    assert dressed is not None and json.loads(dressed) == json.loads(text)
    assert time.process_time() - began < 5


# -- source text -----------------------------------------------------------------------------------


def test_colours() -> None:
    text = "<p class='a'>\ttext</p>\n<!-- é -->\n"
    found = asyncio.run(highlighted(text, "html")) or ""
    assert "\x1b[" in found and re.sub("\x1b\\[[0-9;]*m", "", found) == text


@pytest.mark.parametrize(("text", "lexer"), [("<!--" * 60_000, "html"), ("&" * 200_000, "html")])
def test_text_that_takes_long(text: str, lexer: str) -> None:
    async def main() -> tuple[str | None, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        found = await highlighted(text, lexer)
        ticking.cancel()
        return found, ticks

    began = time.monotonic()
    found, ticks = asyncio.run(main())
    assert found is None and ticks > 5
    assert time.monotonic() - began < 15


def test_a_module_that_was_downloaded_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rich.py").write_text("open('harm', 'w').close()")
    assert asyncio.run(highlighted("<p>\n", "html"))
    assert not (tmp_path / "harm").exists()
