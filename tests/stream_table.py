"""The page docs/streams.md: the states of HTTP/2 streams, made from the table of the tests.

`python -m tests.stream_table` writes it; a test fails if that is necessary.
"""

import inspect
from pathlib import Path

from tests.h2.test_state_machine import FRAMES, NEXT, TABLE, Outcome, maker
from tests.pages import with_part
from tests.support import (
    CANCEL,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
)
from tests.tree import ROOT

CODES = {
    CANCEL: "CANCEL",
    FLOW_CONTROL_ERROR: "FLOW_CONTROL_ERROR",
    FRAME_SIZE_ERROR: "FRAME_SIZE_ERROR",
    PROTOCOL_ERROR: "PROTOCOL_ERROR",
    STREAM_CLOSED: "STREAM_CLOSED",
}


def document() -> Path:
    """Return the path of the page."""
    return ROOT / "docs" / "streams.md"


def shown(outcome: Outcome) -> str:
    """Return an outcome in words."""
    if outcome.kind == "SE":
        return f"RST_STREAM({CODES[outcome.code]})"
    if outcome.kind == "CE":
        return f"GOAWAY({CODES[outcome.code]}), the connection ends"
    return {
        "taken": "delivered",
        "ended": "the stream ends",
        "cancelled": "the promised stream is cancelled",
    }.get(outcome.kind, outcome.kind)


def states(role: str) -> list[str]:
    """Return the states of a role, in the order of the table of the tests."""
    return [state for state in TABLE if state.startswith(role)]


def short(state: str) -> str:
    """Return the name of a state without its role."""
    return state.partition("_")[2]


def diagram(role: str) -> list[str]:
    """Return a diagram, for Mermaid, of the frames that lead from one state to another."""
    lines = ["```mermaid", "stateDiagram-v2"]
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, frame), following in NEXT.items():
        if state.startswith(role) and state != following:
            arrows.setdefault((short(state), short(following)), []).append(frame)
    for (state, following), frames in arrows.items():
        lines.append(f"    {state} --> {following} : {', '.join(frames)}")
    return [*lines, "```"]


def table(role: str) -> list[str]:
    """Return, for each group of equal states, what happens to each frame."""
    groups: dict[tuple[tuple[str, Outcome], ...], list[str]] = {}
    for state in states(role):
        groups.setdefault(tuple(sorted(TABLE[state].items())), []).append(state)
    lines = []
    for row, members in groups.items():
        lines += ["", f"### {', '.join(short(state) for state in members)}", ""]
        texts = {short(state): inspect.getdoc(maker(state)) for state in members}
        said = [f"- `{name}`: {' '.join(text.split())}" for name, text in texts.items() if text]
        lines += [each.replace(f"`{role}_", "`") for each in said]
        if said:
            lines.append("")
        lines += ["| frame | outcome |", "|---|---|"]
        outcomes: dict[Outcome, list[str]] = {}
        known = dict(row)
        for frame in FRAMES:
            outcomes.setdefault(known[frame], []).append(f"`{frame}`")
        lines += [f"| {', '.join(names)} | {shown(each)} |" for each, names in outcomes.items()]
    return lines


def page() -> str:
    """Return what the table says, without a line break at its end."""
    lines = []
    for role in ("server", "client"):
        lines += [f"## {role.title()}", "", *diagram(role), *table(role), ""]
    return "\n".join(lines).rstrip()


def wanted(text: str) -> str:
    """Return the text of the page as the table has it now."""
    return with_part(text, "streams", page())


if __name__ == "__main__":
    path = document()
    path.write_text(wanted(path.read_text("utf-8")), "utf-8")
