"""Turns of phrase that make prose hard to read, counted in comments, docstrings and documents.

`python -m tests.prose [PATH...]` prints each one with its place, and their number in 1,000 lines of
prose; `tests/test_prose.py` keeps that figure low. Quotes of RFCs and code do not count. Knows
Python's tokens and the paragraphs of Markdown. Must never know the subject of a text.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.tree import ROOT

#: Characters of a line of prose.
LINE: Final = 80

_VERBS: Final = (
    "is|are|was|were|has|have|had|does|did|can|cannot|may|must|needs?|reads?|writes?|sends?|sent|"
    "waits?|asks?|comes?|came|goes|went|gives?|gets?|calls?|begins?|makes?|takes?|wants?"
)
_SUBJECTS: Final = "it|they|we|you|he|the|a|an|this|that|there"

#: A rule: what to write instead, and what to look for. Each pattern is tried on whole paragraphs.
RULES: Final = {
    "name the number, or compare: not `so many`": (
        r"\bso (?:many|much|long|large|small|few)\b(?! (?:as|that)\b)"
    ),
    "name the actor: not `who reads`, `what is left`, as a subject": (
        rf"(?:^|[.:;(] ?)(?:who|whoever|what|whatever) (?:{_VERBS}|{_SUBJECTS})\b"
    ),
    "say `informs`, `returns`, `knows`: not `is told`, `tells whether`": (
        r"\b(?:is|are|was|were|be|been|being) told\b"
        r"|\b(?:tells?|told) (?:of|that|it|us|whether|what|how|who|where)\b"
    ),
    "say `in order`, `next`: not `its turn`, `in turns`": (
        r"\b(?:has|have|had|one's|its|their|his|whose) turn\b|\bturn (?:has )?comes?\b"
        r"|\bin turns?\b(?! of)"
    ),
    "leave it out: `as it were`, `in any case`, `, as well`": (
        r"\bas it were\b|\bin any case\b|, as well\b|\bwhat it is\b|\bso to speak\b"
    ),
    "say `separate`, `automatically`, `finished`: not `of its own`, `by itself`, `done with`": (
        r"\b(?:of (?:its|their|his) own|(?:by|to) itself|done with|rid of|up to (?:it|them))\b"
    ),
    "subject, verb, object: not `Nor does it`, `Not only`, `Only then`": (
        r"(?:^|[.;:] )(?:Nor|Not only|Neither|Only (?:where|then|now)|Never) \w+"
    ),
}
_RULES: Final = [
    (rule, re.compile(text, re.IGNORECASE | re.MULTILINE)) for rule, text in RULES.items()
]
#: How the docstring of a module says what it does not depend on.
_CONTRACT: Final = re.compile(r"\bMust\s+never\s+know\b")


class Hit(NamedTuple):
    """A turn of phrase, and where it is."""

    place: str
    rule: str
    text: str


class Measure(NamedTuple):
    """The hits in some files, and the amount of their prose."""

    hits: list[Hit]
    lines: int

    @property
    def rate(self) -> float:
        """Hits in 1,000 lines of prose."""
        return 1000 * len(self.hits) / max(self.lines, 1)


def measure(paths: list[Path]) -> Measure:
    """Measure files, and all Python and Markdown files below folders."""
    hits: list[Hit] = []
    lines = 0
    for path in paths:
        for file in files_of(path):
            place = str(file.relative_to(ROOT) if file.is_relative_to(ROOT) else file)
            for text in paragraphs(file):
                lines += max(1, len(text) // LINE)
                hits += [Hit(place, rule, near) for rule, near in found(text)]
    return Measure(hits, lines)


def found(text: str) -> Iterator[tuple[str, str]]:
    """Yield (rule, the words around it) for each hit in a paragraph."""
    text = _CONTRACT.sub("It must not know", text)
    for rule, pattern in _RULES:
        for match in pattern.finditer(text):
            start = max(match.start() - 40, 0)
            yield rule, " ".join(text[start : match.end() + 40].split())


def files_of(path: Path) -> list[Path]:
    """Return a file, or all files with prose in a folder."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix in (".py", ".md"))


def paragraphs(path: Path) -> Iterator[str]:
    """Yield the prose of a file, one paragraph, comment or docstring at a time."""
    source = path.read_text("utf-8")
    return of_python(source) if path.suffix == ".py" else of_markdown(source)


def of_python(source: str) -> Iterator[str]:
    """Yield docstrings, and comments that stand on consecutive lines as one."""
    comment: list[str] = []
    inside = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if not token.string.startswith("# >"):  # a quote
                comment.append(token.string.lstrip("#: "))
        elif comment and token.type not in inside:
            yield " ".join(comment)
            comment = []
    if comment:
        yield " ".join(comment)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield from text.split("\n\n")


def of_markdown(source: str) -> Iterator[str]:
    """Yield paragraphs, items of lists and cells of tables, without code and headings."""
    source = re.sub(r"^```.*?^```", "", source, flags=re.DOTALL | re.MULTILINE)
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*|]|\d+\.) ?)", source):
        if block.lstrip().startswith("#"):
            continue
        text = re.sub(r"`[^`]*`", "`x`", block)
        for cell in text.strip().strip("|").split(" | ") if block.lstrip()[:1] == "|" else [text]:
            words = " ".join(cell.split()).lstrip("-*# ")
            if words:
                yield words


def main() -> None:
    """Print the hits in the files that are named, by default in the package."""
    paths = [Path(name).resolve() for name in sys.argv[1:]] or [ROOT / "cno"]
    result = measure(paths)
    for hit in result.hits:
        print(f"{hit.place}: {hit.text}\n    {hit.rule}")
    print(f"{len(result.hits)} in {result.lines} lines: {result.rate:.0f} in 1,000")


if __name__ == "__main__":
    main()
