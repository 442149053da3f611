"""Build the documentation: `python -m docs [FOLDER]` (by default `site`). Needs `cno[docs]`.

A warning fails: a missing page or anchor, a name that the API does not have. The pages are those of
`docs` and some documents of the repository (`ELSEWHERE`). Links between pages stay links; links to
other files of the repository become plain text. `cno serve site` shows the result.
"""

import os
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from docs.diagrams import drawn

ROOT: Final = Path(__file__).resolve().parent.parent

#: Documents that are pages of the site too, and their paths there.
ELSEWHERE: Final = {
    "SECURITY.md": "how/security.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "benchmarks/README.md": "how/benchmarks.md",
    "benchmarks/results/report.md": "how/performance.md",
}
#: Pictures and styles that go there as they are.
ASSETS: Final = {"benchmarks/results/headline.svg": "how/headline.svg"} | {
    path.relative_to(ROOT).as_posix(): path.relative_to(ROOT / "docs").as_posix()
    for path in sorted(ROOT.joinpath("docs").rglob("*.*"))
    if path.suffix in (".css", ".png", ".svg")
}

_FENCE: Final = re.compile(r"^( *)(```+|~~~+).*?^\1\2 *$", re.DOTALL | re.MULTILINE)
_CODE: Final = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)")
_LINK: Final = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")


def sources() -> dict[str, str]:
    """Return the pages: their paths from the root of the repository, and in the site."""
    folder = ROOT / "docs"
    pages = {f"docs/{path}": path for path in _relative(folder)}
    return {name: path.replace("README.md", "index.md") for name, path in pages.items()} | ELSEWHERE


def _relative(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.md"))


def target(link: str, page: str) -> str:
    """Return what a link of a page leads to, as a path from the root of the repository."""
    path = link.partition("#")[0]
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page


def is_internal(link: str) -> bool:
    """Return whether a link stays inside of the repository."""
    return not re.match(r"[a-z][a-z0-9+.-]*:", link)


def prose(text: str) -> str:
    """Return a page with blanks in place of its code, so that all else keeps its place."""
    for pattern in (_FENCE, _CODE):
        text = pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    return text


def links(text: str) -> list[str]:
    """Return the links of a page."""
    return [match[3] for match in _LINK.finditer(prose(text))]


def moved(text: str, page: str) -> str:
    """Return a page with its links as they are in the site."""
    known = sources() | ASSETS
    here = known[page]
    parts = []
    end = 0
    for match in _LINK.finditer(prose(text)):
        link = match[3]
        if not is_internal(link):
            continue
        label = text[match.start(2) : match.end(2)]
        leads_to = known.get(target(link, page))
        parts.append(text[end : match.start()])
        end = match.end()
        if leads_to is None:
            parts.append(label)
            continue
        path = posixpath.relpath(leads_to, posixpath.dirname(here) or ".")
        anchor = link.partition("#")[2]
        path = "" if leads_to == here and anchor else path
        parts.append(f"{match[1]}[{label}]({path}{'#' if anchor else ''}{anchor})")
    return "".join([*parts, text[end:]])


def collect(folder: Path) -> None:
    """Write the pages and the configuration of the site to a folder."""
    for name, path in sources().items():
        page = folder / "docs" / path
        page.parent.mkdir(parents=True, exist_ok=True)
        text = ROOT.joinpath(name).read_text("utf-8")
        if name == "docs/reference/command-line.md":
            text = text.replace("<!-- commands -->", commands())
        page.write_text(drawn(moved(text, name)), "utf-8")
    for name, path in ASSETS.items():
        asset = folder / "docs" / path
        asset.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, asset)
    shutil.copy(ROOT / "docs" / "zensical.toml", folder)


def shown(*arguments: str) -> str:
    """Return what a command prints."""
    command = [sys.executable, "-m", "cno", *arguments, "--help"]
    variables = os.environ | {"COLUMNS": "80", "NO_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
    return done.stdout


def commands() -> str:
    """Return a section with the help of each command; without the names of all limits."""
    sections = []
    for name in re.findall(r"^  (\w+)  ", shown().partition("\nCommands:")[2], re.MULTILINE):
        text = re.split(r"\n+ *Limits \(none|\nApplications: ", shown(name))[0]
        sections.append(f"## cno {name}\n\n```text\n{text.strip()}\n```\n")
    return "\n".join(sections)


def package() -> Path:
    """Return the sources that the reference is made from: the checkout's, or else the installed."""
    if ROOT.joinpath("cno").is_dir():
        return ROOT / "cno"
    import cno

    return Path(cno.__file__).parent


def build(result: Path) -> int:
    """Build the site; return the exit status of the builder."""
    with tempfile.TemporaryDirectory(prefix="cno-docs.") as name:
        folder = Path(name)
        collect(folder)
        folder.joinpath("src").mkdir()
        folder.joinpath("src", "cno").symlink_to(package(), target_is_directory=True)
        command = [sys.executable, "-m", "zensical", "build", "--strict"]
        done = subprocess.run(command, cwd=folder, env=os.environ | {"NO_COLOR": "1"}, check=False)
        if done.returncode == 0:
            shutil.rmtree(result, ignore_errors=True)
            shutil.copytree(folder / "site", result)
        return done.returncode


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1] if sys.argv[1:] else "site")))
