"""The pages of docs/ are true: their examples run, and all links lead somewhere."""

import importlib
import re
from pathlib import Path

import pytest

from docs.__main__ import is_internal, links, moved, prose, target
from tests import stream_table
from tests.doc_examples import Page, blocks, extras
from tests.tree import PACKAGE, ROOT

PAGES = sorted(ROOT.joinpath("docs").rglob("*.md"))
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
TEXTS = {name: ROOT.joinpath(name).read_text("utf-8") for name in NAMES}
#: Pages with examples that have a test of their own.
ELSEWHERE_TESTED = {"docs/errors.md", "docs/httpx.md"}
DOCUMENTS = [*NAMES, "README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"]


def examples(name: str) -> bool:
    return any(block.language in ("python", "sh") for block in blocks(TEXTS[name]))


@pytest.mark.parametrize(
    "name", [name for name in NAMES if examples(name) and name not in ELSEWHERE_TESTED]
)
def test_examples(name: str, tmp_path: Path) -> None:
    with Page(TEXTS[name], tmp_path) as page:
        page.run()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_run_says_why(name: str) -> None:
    for block in blocks(TEXTS[name]):
        assert block.skipped is not None
        if block.language not in ("python", "sh", "text"):
            continue
        assert not block.skipped or len(block.skipped.split()) > 2, f"{name}:{block.line}"


def test_extras_exist() -> None:
    for name, text in TEXTS.items():
        for named in re.findall(r"cno\[([\w,]+)\]", text):
            assert set(named.split(",")) <= extras(), name


# -- links -----------------------------------------------------------------------------------------


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links(name: str) -> None:
    for link in links(ROOT.joinpath(name).read_text("utf-8")):
        if is_internal(link):
            path = ROOT / target(link, name)
            # The package is elsewhere where it is installed.
            assert path.exists() or target(link, name).startswith("cno/"), link
            anchor = link.partition("#")[2]
            assert not anchor or anchor in anchors(path.read_text("utf-8")), link


def test_links_of_the_site() -> None:
    text = "[`a`](../SECURITY.md#limits) `[b](c)` [d](../cno/limits.py) [e](#f) [g](https://h/)\n"
    assert moved(text, "docs/limits.md") == (
        "[`a`](how/security.md#limits) `[b](c)` d [e](#f) [g](https://h/)\n"
    )
    assert moved("```\n[x](y.md)\n```\n[l](docs/limits.md)", "SECURITY.md") == (
        "```\n[x](y.md)\n```\n[l](../limits.md)"
    )


# -- what pages are made from ----------------------------------------------------------------------


def test_the_states_of_streams_are_current() -> None:
    text = stream_table.document().read_text("utf-8")
    assert text == stream_table.wanted(text), "run: python -m tests.stream_table"


#: Constants of the C library: `cno.raw` says what they are.
CONSTANT = re.compile(r"CNO_[A-Z0-9_]+")
#: Public names that no page of the reference has an entry for, with the reason.
NO_ENTRY = {
    "cno.COMPILED": "a constant",
    "cno.__version__": "a constant",
    "cno.hpack": "a module",
    "cno.raw": "a module",
    "cno.raw.ConnectionError": "it is cno.ConnectionError",
    "cno.raw.Limits": "it is cno.Limits",
    "cno.sync.Body": "a union of types",
    "cno.sync.Timeout": "it is cno.Timeout",
    "cno.trace.ConnectionTrace": "of those who write a transport",
    "cno.trace.SECRETS": "a constant",
    "cno.trace.TappedTransport": "of those who write a transport",
}


@pytest.mark.parametrize(
    "name", ["cno", "cno.raw", "cno.sync", "cno.websocket", "cno.testing", "cno.trace", "cno.asgi"]
)
def test_the_reference_is_complete(name: str) -> None:
    entries = {
        entry
        for page, text in TEXTS.items()
        if page.startswith("docs/reference/")
        for entry in re.findall(r"^::: (\S+)$", text, re.MULTILINE)
    }
    public = {
        f"{name}.{each}"
        for each in importlib.import_module(name).__all__
        if not CONSTANT.fullmatch(each)
    }
    assert public - NO_ENTRY.keys() <= entries


def test_files_that_pages_name_exist() -> None:
    for name, text in TEXTS.items():
        for path in re.findall(r"`((?:cno|tests)/[\w/]+\.py)`", text):
            folder = PACKAGE.parent if path.startswith("cno/") else ROOT
            assert folder.joinpath(path).exists(), f"{name}: {path}"


def test_environment_variables() -> None:
    page = TEXTS["docs/reference/environment.md"]
    sources = [*PACKAGE.rglob("*.py"), ROOT / "setup.py"]
    read = re.compile(r"(?:environ(?:\.get\(|\[)|envvar=)\"([A-Z_]+)\"")
    named = {name for path in sources for name in read.findall(path.read_text("utf-8"))}
    assert named == {name for name in named if f"`{name}`" in page}
    assert {"CNO_PURE", "CNO_BUILD", "CNO_PORT"} <= named
