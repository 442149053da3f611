"""The documentation site: each page has a place in it, and it builds without a warning."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.__main__ import ELSEWHERE, sources
from docs.diagrams import drawn, ordered
from tests.tree import ROOT


def navigation(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for each in entry.values() if isinstance(entry, dict) else entry:
            yield from navigation(each)


def test_each_page_has_one_place() -> None:
    config = tomllib.loads(ROOT.joinpath("docs", "zensical.toml").read_text("utf-8"))
    places = list(navigation(config["project"]["nav"]))
    assert sorted(places) == sorted(sources().values())
    assert set(ELSEWHERE.values()) <= set(places)


@pytest.mark.timeout(300)  # ten seconds of the processor, which other tests share
def test_the_site(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "docs", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for path in sources().values():
        page = re.sub(r"(^|/)index\.md$|\.md$", r"\1", path).rstrip("/")
        text = tmp_path.joinpath("site", page, "index.html").read_text("utf-8")
        # The site loads nothing from elsewhere.
        assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=\"?https?://", text), page
    page = tmp_path.joinpath("site", "reference", "command-line", "index.html").read_text("utf-8")
    assert "--max-time" in page and "--self-signed" in page
    index = tmp_path.joinpath("site", "search.json").read_text("utf-8")
    assert "max_concurrent_streams" in index


def test_a_diagram() -> None:
    arrows = "    A --> C : END\n    A --> B : X\n    B --> C : Y\n"
    page = drawn(f"# T\n\n```mermaid\nstateDiagram-v2\n{arrows}```\n\nafter\n")
    assert page.startswith('# T\n\n<div class="diagram"><svg ') and page.endswith(
        "</div>\n\nafter\n"
    )
    assert ordered([("A", "C"), ("A", "B"), ("B", "C")]) == ["A", "B", "C"]
    assert ordered([("A", "B"), ("B", "A"), ("B", "C")]) == ["A", "B", "C"]
    for event in ("END", "X", "Y"):
        assert f">{event}</text>" in page
