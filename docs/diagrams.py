"""State diagrams in Mermaid's notation as SVG, so that the site needs no script to draw them.

Each state is a card with its events. All events that lead to a state share one line to it, in a
lane beside the cards. Knows the form `A --> B : EVENT`; must never know whose states these are.
"""

import html
import re
from typing import Final

ROW: Final = 21  # pixels of a line of text
CARD: Final = 150  # and the width of a card
LABEL: Final = 190  # of the events beside it
LANE: Final = 14  # between two lanes

_BLOCK: Final = re.compile(r"^```mermaid\nstateDiagram-v2\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ARROW: Final = re.compile(r"^ *(\w+) --> (\w+) : (.+)$", re.MULTILINE)


def drawn(text: str) -> str:
    """Return a page with its state diagrams drawn."""
    return _BLOCK.sub(lambda match: svg(match[1]), text)


def svg(diagram: str) -> str:
    """Return the drawing of a diagram, as one block of HTML."""
    arrows: list[tuple[str, str, str]] = _ARROW.findall(diagram)
    states = ordered([(source, target) for source, target, _ in arrows])
    outgoing = {state: [each for each in arrows if each[0] == state] for state in states}
    tops: dict[str, int] = {}
    height = 10
    for state in states:
        tops[state] = height
        height += ROW * (1 + len(outgoing[state])) + 14
    targets = [state for state in states if any(target == state for _, target, _ in arrows)]
    lanes = {state: CARD + LABEL + LANE * number for number, state in enumerate(targets)}
    width = CARD + LABEL + LANE * len(targets) + 10
    parts = []
    for state in states:
        top = tops[state]
        size = ROW * (1 + len(outgoing[state])) + 2
        parts.append(f'<rect x="1" y="{top}" width="{CARD}" height="{size}" rx="6"/>')
        parts.append(f'<text class="state" x="12" y="{top + 15}">{html.escape(state)}</text>')
        for number, (_, target, event) in enumerate(outgoing[state], 1):
            y = top + ROW * number + 12
            parts += edge(html.escape(event), y, lanes[target], tops[target] + 10)
    for state, x in lanes.items():
        y = tops[state] + 10
        parts.append(f'<path d="M{x} {y} H{CARD + 3}"/>')
        parts.append(f'<path class="head" d="M{CARD + 2} {y} l9 -4.5 v9 z"/>')
    names = ", ".join(states)
    return (
        f'<div class="diagram"><svg viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="State diagram: {html.escape(names)}">{"".join(parts)}</svg></div>'
    )


def edge(event: str, y: int, lane: int, end: int) -> list[str]:
    """Return the line of an event, from its card to the lane of the next state."""
    return [
        f'<text x="{CARD + 12}" y="{y - 4}">{event}</text>',
        f'<path d="M{CARD + 1} {y} H{lane} V{end}"/>',
        f'<circle cx="{lane}" cy="{y}" r="2.5"/>',
    ]


def ordered(pairs: list[tuple[str, str]]) -> list[str]:
    """Return the states so that most arrows point downwards."""
    found: list[str] = []
    visited: set[str] = set()

    def visit(state: str) -> None:
        if state not in visited:
            visited.add(state)
            for source, target in reversed(pairs):
                if source == state:
                    visit(target)
            found.insert(0, state)

    for source, _ in reversed(pairs):
        if not any(target == source for _, target in pairs):
            visit(source)
    for source, _ in pairs:
        visit(source)
    return found
