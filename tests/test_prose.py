"""Comments, docstrings and documents are plain: `tests/prose.py` finds little in them."""

from pathlib import Path

import pytest

from tests.prose import found, measure, of_markdown, of_python
from tests.rows import each_row
from tests.tree import PACKAGE, ROOT

#: Hits in 1,000 lines of prose.
MOST = 20
PARTS = {
    "*": sorted(PACKAGE.glob("*.py")),
    **{path.parent.name: [path.parent] for path in sorted(PACKAGE.glob("*/__init__.py"))},
    **{path.name: [path] for path in sorted(ROOT.glob("*.md"))},
    "docs": [ROOT / "docs"],
    "benchmarks": [ROOT / "benchmarks"],
    "tests/cli": [ROOT / "tests" / "cli"],
}


@pytest.mark.slow
@each_row("part", PARTS)
def test_prose(part: str) -> None:
    result = measure(PARTS[part])
    listed = "\n".join(f"{hit.place}: {hit.text}\n    {hit.rule}" for hit in result.hits)
    # In a short text, one hit is not yet a habit.
    assert result.rate <= MOST or len(result.hits) <= 1, listed


# -- the measure -----------------------------------------------------------------------------------


@each_row(
    "text",
    [
        "It waits for so many seconds.",
        "Who reads a body gets an error.",
        "The loss: what is left is parsed.",
        "The peer is told that it has ended.",
        "It tells whether there is more.",
        "Each request waits for its turn.",
        "They are served in turn.",
        "This is, in any case, an error.",
        "The others are closed, as well.",
        "It has a thread of its own.",
        "The stream ends by itself.",
        "Nor does it wait.",
        "The loop ends. Only then the others run.",
    ],
)
def test_what_is_found(text: str) -> None:
    assert len(list(found(text))) == 1


@each_row(
    "text",
    [
        "There are so many that the rest is dropped.",
        "Return the number of bytes, or None.",
        "Knows frames. Must never know a connection.",
        "The client that sent the request decides what it needs.",
        "After a turn of the event loop, the rest is parsed.",
        "So much that it overflows.",
    ],
)
def test_what_is_not_found(text: str) -> None:
    assert list(found(text)) == []


def test_comments_and_docstrings() -> None:
    source = '''"""First.

    Second paragraph.
    """
# One comment
# on two lines
x = 1  # beside code
# > A quote of an RFC.
def f() -> None:
    """Third."""
    "no docstring"
'''
    wanted = {"First.", "Second paragraph.", "One comment on two lines", "beside code", "Third."}
    assert set(of_python(source)) == wanted


def test_markdown() -> None:
    code = "```sh\nso many\n```"
    source = (
        f"# Title\n\nOne `so many`\nparagraph.\n\n{code}\n\n- item\n- other\n\n| a | b |\n|---|---|"
    )
    assert [text for text in of_markdown(source) if "--" not in text] == [
        "One `x` paragraph.",
        "item",
        "other",
        "a",
        "b",
    ]


def test_a_made_up_tree(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('"""What is left is told of."""\n')
    (tmp_path / "b.md").write_text("Plain words.\n")
    result = measure([tmp_path])
    assert len(result.hits) == 2 and result.lines == 2 and result.rate == 1000
