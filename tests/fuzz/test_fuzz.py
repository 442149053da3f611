"""Replays the findings of the fuzzers, and runs each of them for a short time with a fixed seed.

`python -m tests.fuzz` runs the long searches.
"""

from pathlib import Path

import pytest

import cno
from tests.fuzz import extremes, machines, octets, oracles, twins
from tests.fuzz.targets import ALL, CORPUS, REGRESSIONS
from tests.fuzz.worlds import WORLDS

#: Scripts for each world.
SCRIPTS = 60
#: Where each takes two processes.
FEW = 20
#: Messages with extreme values.
EXTREMES = 1_500


def inputs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*"))


@pytest.mark.parametrize("path", inputs(REGRESSIONS), ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_what_was_found_is_fixed(path: Path) -> None:
    target = ALL[path.parent.name]
    if target.name == "twins" and not cno.COMPILED:
        pytest.skip("needs both builds at once")
    target.replay(path)


@pytest.mark.parametrize("target", octets.TARGETS)
def test_corpus(target: str) -> None:
    files = sorted((CORPUS / target).iterdir())
    assert files
    for path in files:
        ALL[target].replay(path)


@pytest.mark.parametrize("world", WORLDS)
def test_scripts(world: str) -> None:
    machines.batch(world, WORLDS[world][1], machines.check_world, 1, SCRIPTS)


@pytest.mark.parametrize("world", oracles.COMPARED)
def test_oracles(world: str) -> None:
    machines.batch(world, oracles.RULES[world], oracles.check, 1, SCRIPTS)


def test_extremes() -> None:
    case = extremes.cases(1)
    for _ in range(EXTREMES):
        extremes.check(*case())


@pytest.mark.parametrize("number", extremes.NUMBERS, ids=range(len(extremes.NUMBERS)))
@pytest.mark.parametrize("kind", extremes.TEMPLATES)
def test_an_extreme_number_at_each_place(kind: str, number: str) -> None:
    for text in extremes.everywhere(kind, number):
        extremes.check(kind, 0, text)


@pytest.mark.skipif(not cno.COMPILED, reason="needs both builds at once")
def test_twins() -> None:
    both = twins.Twins()
    try:
        for kind, data in twins.changed([CORPUS], 1):
            both.check(kind, data.hex())
        for world in WORLDS:
            machines.batch(world, WORLDS[world][1], both.check, 1, FEW)
    finally:
        both.stop()


def test_every_target_has_a_corpus_or_makes_up_its_inputs() -> None:
    assert {p.name for p in CORPUS.iterdir()} == {t.name for t in ALL.values() if t.octets}
    assert {p.name for p in REGRESSIONS.iterdir()} <= set(ALL)
