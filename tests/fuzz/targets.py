"""The targets of fuzzing, by name, and the folders of inputs.

Knows every fuzzer, but not how it makes inputs.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.fuzz import extremes, machines, octets, oracles, twins, worlds
from tests.tree import ROOT as ROOT

HERE: Final = Path(__file__).parent
#: Where every search begins.
CORPUS: Final = HERE / "corpus"
#: Inputs that found something that has been fixed since.
REGRESSIONS: Final = HERE / "regressions"
#: What searches found, and the corpora that they have grown; not in the repository.
KEPT: Final = ROOT / ".fuzz"


class Target:
    """Something to search; `octets`: by `explore`, whose inputs are files of octets."""

    octets = False

    def __init__(self, name: str, about: str) -> None:
        self.name = name
        self.about = about

    def search(self, seconds: float, seed: int) -> list[Path]:
        """Until the time is over or something is found; the files of what was found."""
        raise NotImplementedError

    def replay(self, path: Path) -> None:
        """Raises what is wrong with one input."""
        raise NotImplementedError


class Octets(Target):
    octets = True

    def __init__(self, name: str, check: Callable[[bytes], object]) -> None:
        about = "any octets, whole and cut: only documented errors"
        super().__init__(name, "the scripts of `machines`" if name == "scripts" else about)
        self.check = check

    def replay(self, path: Path) -> None:
        self.check(path.read_bytes())


class Machines(Target):
    """Scripts in all worlds."""

    def search(self, seconds: float, seed: int) -> list[Path]:
        found = KEPT / self.name
        return machines.search(worlds.RULES, machines.check_world, seconds, seed, found)

    def replay(self, path: Path) -> None:
        machines.replay(path)


class Oracles(Target):
    def search(self, seconds: float, seed: int) -> list[Path]:
        count: Counter[str] = Counter()

        def check(world: str, mood: int, script: Sequence[worlds.Step]) -> None:
            count.update(oracles.check(world, mood, script))

        found = machines.search(oracles.RULES, check, seconds, seed, KEPT / self.name)
        for reason, times in count.most_common():
            print(f"{times:8} {reason}")
        return found

    def replay(self, path: Path) -> None:
        oracles.check(*machines.load(path))


class Extremes(Target):
    def search(self, seconds: float, seed: int) -> list[Path]:
        return extremes.search(KEPT / self.name, seconds, seed)

    def replay(self, path: Path) -> None:
        extremes.replay(path)


class Twins(Target):
    def search(self, seconds: float, seed: int) -> list[Path]:
        return twins.search([CORPUS, KEPT / "corpus"], KEPT / self.name, seconds, seed)

    def replay(self, path: Path) -> None:
        twins.replay(path)


ALL: Final[dict[str, Target]] = {
    **{name: Octets(name, check) for name, check in octets.TARGETS.items()},
    "machines": Machines("machines", "scripts of peer and application: rules of order and flow"),
    "oracles": Oracles("oracles", "h2 and h11 judge the same, or it is known why not"),
    "extremes": Extremes("extremes", "sound messages with a value out of all bounds: no exception"),
    "twins": Twins("twins", "the compiled build and its sources say the same"),
}


def named(word: str) -> list[str]:
    """The targets a word stands for."""
    if word == "octets":
        return [name for name, target in ALL.items() if target.octets]
    if word not in ALL:
        raise SystemExit(f"no target {word}: {', '.join(ALL)}")
    return [word]
