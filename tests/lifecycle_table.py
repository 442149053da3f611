"""The page docs/lifecycle.md: a picture and tables of a connection's life, made from the code.

`python -m tests.lifecycle_table` writes it; a test fails if that is necessary. Knows the form of
`cno/aio/connection/lifecycle.py`: each phase and each event has one comment, above it.
"""

import re
from pathlib import Path

from cno.aio.connection.lifecycle import (
    CLOSE_MODES,
    CONNECTION_LOST,
    ENDS,
    EVENTS,
    PHASES,
    TRANSITIONS,
    after,
)
from tests.pages import with_part
from tests.tree import PACKAGE, ROOT

_NAME = re.compile(r"(\w+): Final = \d+$")
_COMMENT = re.compile(r"#: ?(.*)")


def document() -> Path:
    """Return the path of the page."""
    return ROOT / "docs" / "lifecycle.md"


def meanings() -> dict[str, str]:
    """Return the comment of each phase and event, by name."""
    found: dict[str, str] = {}
    comment = ""
    for line in (PACKAGE / "aio" / "connection" / "lifecycle.py").read_text("utf-8").splitlines():
        if match := _COMMENT.match(line):
            comment = f"{comment} {match[1]}".lstrip()
        elif match := _NAME.match(line):
            found[match[1]] = comment
            comment = ""
    return found


def picture() -> list[str]:
    """Return a diagram for Mermaid, which GitHub draws. (Each phase can be LOST at any time.)"""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {PHASES[0]}"]
    for phases, event, following, _ in TRANSITIONS:
        if event != CONNECTION_LOST:
            lines += [f"    {PHASES[p]} --> {PHASES[following]} : {EVENTS[event]}" for p in phases]
    lines.append(f"    CLOSING --> LOST : {EVENTS[CONNECTION_LOST]} (from any phase before LOST)")
    return [*lines, f"    {PHASES[-1]} --> [*]", "```"]


def page() -> str:
    """Return what the code says, without a line break at its end."""
    meaning = meanings()
    lines = picture()
    lines += ["", "| phase | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning[name]} |" for name in PHASES]
    lines += ["", "| event | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning[name]} |" for name in EVENTS]
    lines += ["", "| close mode | meaning; the highest one asked for counts |", "|---|---|"]
    lines += [f"| `{name}` | {meaning[name]} |" for name in CLOSE_MODES]
    lines += ["", "| how a connection ended | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning[name]} |" for name in ENDS]
    lines += ["", "| phase | event | next phase | what is done then |", "|---|---|---|---|"]
    for phases, event, following, action in TRANSITIONS:
        names = ", ".join(f"`{PHASES[phase]}`" for phase in phases)
        lines.append(f"| {names} | `{EVENTS[event]}` | `{PHASES[following]}` | {action} |")
    lines += ["", f"| event | {' | '.join(PHASES)} |", "|---" * (len(PHASES) + 1) + "|"]
    for event, name in enumerate(EVENTS):
        nexts = [after(phase, event) for phase in range(len(PHASES))]
        cells = ["" if new == old else PHASES[new] for old, new in enumerate(nexts)]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def wanted(text: str) -> str:
    """Return the text of the page as the code has it now."""
    return with_part(text, "life cycle", page())


if __name__ == "__main__":
    path = document()
    path.write_text(wanted(path.read_text("utf-8")), "utf-8")
