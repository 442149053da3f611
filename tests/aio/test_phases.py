"""The table of a connection's phases: it can be drawn, each phase is reached, and each is left."""

from cno.aio.connection import lifecycle
from cno.aio.connection.lifecycle import EVENTS, PHASES, TRANSITIONS, after
from tests.lifecycle_table import document, meanings, wanted
from tests.rows import each_row

EVERY_PHASE = range(len(PHASES))
EVERY_EVENT = range(len(EVENTS))


def test_the_page_is_current() -> None:
    text = document().read_text("utf-8")
    assert text == wanted(text), "python -m tests.lifecycle_table writes it anew"


def test_phases_and_events_are_numbered_as_they_are_named() -> None:
    assert [getattr(lifecycle, name) for name in PHASES] == list(EVERY_PHASE)
    assert [getattr(lifecycle, name) for name in EVENTS] == list(EVERY_EVENT)
    assert all(meanings()[name] for name in PHASES + EVENTS)


@each_row("phase", EVERY_PHASE, ids=PHASES.__getitem__)
@each_row("event", EVERY_EVENT, ids=EVENTS.__getitem__)
def test_a_pair(phase: int, event: int) -> None:
    """It has one entry at most, and the entry is what counts."""
    entries = [new for old, which, new, _ in TRANSITIONS if phase in old and which == event]
    assert after(phase, event) == (entries[0] if entries else phase)
    assert len(entries) <= 1


def test_no_phase_lasts_and_none_comes_back() -> None:
    """Each is reached from the first, and leads to the last; a tunnel alone makes one younger."""
    reached = {lifecycle.CONNECTING}
    for phase in EVERY_PHASE:
        assert phase in reached, PHASES[phase]
        reached |= {after(phase, event) for event in EVERY_EVENT}
        if phase < lifecycle.LOST:
            assert after(phase, lifecycle.CONNECTION_LOST) == lifecycle.LOST
        for event in EVERY_EVENT:
            assert after(phase, event) >= phase or event == lifecycle.TUNNEL_OPENED
    assert after(lifecycle.LOST, lifecycle.WAITERS_DONE) == lifecycle.CLOSED
    assert {after(lifecycle.CLOSED, event) for event in EVERY_EVENT} == {lifecycle.CLOSED}
