"""The table of limits in docs/limits.md, made from the comments of `cno/limits.py`.

`python -m tests.limits_table` writes it; a test fails if that is necessary. Knows the form of
`cno/limits.py`: each field has one comment, above it.
"""

import re
from pathlib import Path

from cno.limits import BY_ROLE
from tests.pages import with_part
from tests.tree import PACKAGE, ROOT

_SECTION = re.compile(r"    # -- (.+?) -+")
_COMMENT = re.compile(r"    #: ?(.*)")
_FIELD = re.compile(r"    (\w+): ([\w| ]+) = (\S+)")


def document() -> Path:
    """Return the path of the page with the table."""
    return ROOT / "docs" / "limits.md"


def rows(source: str) -> list[tuple[str, str, str, str]]:
    """Return (section, name, default, comment) of every field, in order; comment: '' if missing."""
    found = []
    section, comment = "", ""
    for line in source[source.index("class Limits") :].splitlines():
        if match := _SECTION.match(line):
            section = match[1]
        elif match := _COMMENT.match(line):
            comment = f"{comment} {match[1]}".lstrip()
        elif match := _FIELD.match(line):
            found.append((section, match[1], match[3], comment))
            comment = ""
        elif line.startswith("def "):
            break
    return found


def shown(default: str) -> str:
    """Return a default as people read it."""
    if default in ("None", "False"):
        return "off"
    number = float(default.replace("_", ""))
    return f"{number:,.0f}" if number == int(number) else f"{number:,}"


def table(source: str) -> str:
    """Return the table, without a line break at its end."""
    lines = ["| limit | default | meaning, and what happens beyond |", "|---|---:|---|"]
    section = ""
    for where, name, default, comment in rows(source):
        if where != section:
            section = where
            lines.append(f"| **{section}** | | |")
        value = "by role" if name in BY_ROLE else shown(default)
        lines.append(f"| `{name}` | {value} | {comment} |")
    return "\n".join(lines)


def wanted(text: str) -> str:
    """Return the text of the page with the current table."""
    return with_part(text, "limits", table((PACKAGE / "limits.py").read_text("utf-8")))


if __name__ == "__main__":
    path = document()
    path.write_text(wanted(path.read_text("utf-8")), "utf-8")
