"""State machines made up by hypothesis: scripts of what a peer and an application do.

A script that breaks a rule is made as short as it gets and kept as JSON: `[world, mood, steps]`.
"""

import json
import time
import traceback
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.worlds import Step, play

Script = tuple[int, list[Step]]
Check = Callable[[str, int, Sequence[Step]], object]

#: Scripts in a row, before the clock is looked at.
BATCH = 200


def scripts(rules: Sequence[str]) -> st.SearchStrategy[Script]:
    step = st.tuples(st.sampled_from(rules), st.integers(0, 255), st.integers(0, 65_535))
    return st.tuples(st.integers(0, 255), st.lists(step, max_size=60))


def batch(world: str, rules: Sequence[str], check: Check, number: int, size: int) -> int:
    """Try so many scripts, say how many; raises Broken with the shortest that breaks a rule."""
    last: Script | None = None
    tried = 0

    @seed(number)
    @settings(
        max_examples=size,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(scripts(rules))
    def trial(script: Script) -> None:
        nonlocal last, tried
        last = script
        tried += 1
        check(world, *script)

    try:
        trial()
    except Exception as error:
        raise Broken(world, last, error) from error
    return tried


class Broken(Exception):
    """A script, and what came of it."""

    def __init__(self, world: str, script: Script | None, error: Exception) -> None:
        super().__init__(f"{world} {script}: {error!r}")
        self.world = world
        self.script = script
        self.error = error

    def keep(self, folder: Path, case: Sequence[object] | None = None) -> Path:
        """Say what is wrong, and write down how to see it again."""
        traceback.print_exception(self.error)
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(case or [self.world, *(self.script or ())])
        path = folder / f"{self.world}-{zlib.crc32(text.encode()):08x}.json"
        path.write_text(text + "\n")
        return path


def search(
    worlds: Mapping[str, Sequence[str]], check: Check, seconds: float, number: int, folder: Path
) -> list[Path]:
    """World after world (name, rules) until the time is over; one that is broken is left alone."""
    until = time.monotonic() + seconds
    left = list(worlds)
    kept: list[Path] = []
    tried = dict.fromkeys(worlds, 0)
    while left and time.monotonic() < until:
        for world in list(left):
            number += 1
            try:
                tried[world] += batch(world, worlds[world], check, number, BATCH)
            except Broken as broken:
                kept.append(broken.keep(folder))
                left.remove(world)
            if time.monotonic() > until:
                break
    print("tried", ", ".join(f"{n} of {world}" for world, n in tried.items()))
    return kept


def load(path: Path) -> tuple[str, int, list[Step]]:
    world, mood, steps = json.loads(path.read_text())
    return world, mood, [(rule, a, b) for rule, a, b in steps]


def check_world(world: str, mood: int, script: Sequence[Step]) -> object:
    return play(world, mood, script)


def replay(path: Path) -> Any:
    return check_world(*load(path))
