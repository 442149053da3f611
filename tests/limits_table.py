"""The table of limits in SECURITY.md, made from the comments of `cno/limits.py`.

`python -m tests.limits_table` puts it there; a test tells when that is due. Knows the form of that
file: a comment stands before the field or fields that it is about.
"""

import re
from pathlib import Path

from tests.tree import PACKAGE, ROOT

BEGIN, END = "<!-- limits -->", "<!-- end of limits -->"

_SECTION = re.compile(r"    # -- (.+?) -+")
_COMMENT = re.compile(r"    #: ?(.*)")
_FIELD = re.compile(r"    (\w+): ([\w| ]+) = (\S+)")


def document() -> Path:
    return ROOT / "SECURITY.md"


def rows(source: str) -> list[tuple[str, str, str, str]]:
    """(section, name, default, what it bounds) of every field, in order."""
    found = []
    section, comment, fresh = "", "", True
    for line in source[source.index("class Limits") :].splitlines():
        if match := _SECTION.match(line):
            section = match[1]
        elif match := _COMMENT.match(line):
            comment = match[1] if fresh else f"{comment} {match[1]}"
            fresh = False
        elif match := _FIELD.match(line):
            found.append((section, match[1], match[3], comment))
            fresh = True
        elif line.startswith("def "):
            break
    return found


def shown(default: str) -> str:
    """A default as people read it."""
    if default in ("None", "False"):
        return "off"
    number = float(default.replace("_", ""))
    return f"{number:,.0f}" if number == int(number) else f"{number:,}"


def table(source: str) -> str:
    lines = ["| limit | default | what it bounds, and what happens beyond |", "|---|---:|---|"]
    section = ""
    for where, name, default, comment in rows(source):
        if where != section:
            section = where
            lines.append(f"| **{section}** | | |")
        if name.endswith("_rate"):
            comment = "How many of those come back in a second, where there is a clock."
        lines.append(f"| `{name}` | {shown(default)} | {comment} |")
    return "\n".join(lines)


def wanted(text: str) -> str:
    """The document with the table as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    source = (PACKAGE / "limits.py").read_text("utf-8")
    return f"{before}{BEGIN}\n{table(source)}\n{END}{after}"


if __name__ == "__main__":
    path = document()
    path.write_text(wanted(path.read_text("utf-8")), "utf-8")
