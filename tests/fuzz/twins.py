"""The compiled build and its sources behave the same for the same input.

Two processes of the same installation, one with CNO_PURE=1, play the same scripts and receive the
same bytes; their transcripts are compared. Needs a compiled build.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.tree import ROOT

#: Of the octets' corpora, so many changes are tried for each file.
CHANGES = 5


# -- a worker: knows the package -------------------------------------------------------------------


def transcript(case: list[object]) -> str:
    """Everything that one case does."""
    from tests.fuzz import octets, worlds
    from tests.fuzz.observed import deliver, hang_up

    kind, given, *script = case
    try:
        if not isinstance(given, str):
            return repr(worlds.play(kind, given, *script))  # type: ignore[arg-type]  # as JSON has it
        data = bytes.fromhex(given)
        if kind == "scripts":
            return repr(worlds.play(*worlds.script_of(data)))
        make = octets.CONNECTIONS.get(str(kind))
        if make is None:
            return repr(octets.decoded(str(kind), data))
        conn = make(data[0] if data else 0)
        seen = deliver(conn, data[1:], octets.cuts_of(data)[0])
        return repr((seen, str(conn.error), hang_up(conn), conn.written))
    except Exception as error:
        # The text of it may name types, which differ.
        return type(error).__name__


def work() -> None:
    import cno

    print(json.dumps(cno.COMPILED), flush=True)
    for line in sys.stdin:
        case = json.loads(line)
        text = transcript(case["case"])
        whole = text if case["whole"] else hashlib.sha256(text.encode()).hexdigest()
        print(json.dumps(whole), flush=True)


# -- both of them ----------------------------------------------------------------------------------


class Twins:
    """The two workers."""

    def __init__(self) -> None:
        self.workers = [self._start(pure) for pure in ("0", "1")]
        builds = [json.loads(self._line(worker)) for worker in self.workers]
        if builds != [True, False]:
            self.stop()
            raise SystemExit("twins needs a compiled build: run it where one is installed")

    def _start(self, pure: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.twins"],
            cwd=ROOT,
            env={**os.environ, "CNO_PURE": pure, "PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _line(self, worker: subprocess.Popen[str]) -> str:
        assert worker.stdout
        return worker.stdout.readline()

    def ask(self, case: list[object], whole: bool) -> list[str]:
        for worker in self.workers:
            assert worker.stdin
            worker.stdin.write(json.dumps({"case": case, "whole": whole}) + "\n")
            worker.stdin.flush()
        answers = [self._line(worker) for worker in self.workers]
        for answer, name in zip(answers, ("compiled build", "sources"), strict=True):
            assert answer, f"the {name} died of {case}"
        return [str(json.loads(answer)) for answer in answers]

    def check(self, kind: str, given: int | str, *script: object) -> None:
        case: list[object] = [kind, given, *script]
        compiled, pure = self.ask(case, False)
        if compiled == pure:
            return
        compiled, pure = self.ask(case, True)
        at = next(
            (i for i, (c, p) in enumerate(zip(compiled, pure, strict=False)) if c != p),
            min(len(compiled), len(pure)),
        )
        at = max(0, at - 200)
        raise AssertionError(
            f"compiled and not differ:\n  {compiled[at : at + 600]}\n  {pure[at : at + 600]}"
        )

    def stop(self) -> None:
        for worker in self.workers:
            assert worker.stdin
            assert worker.stdout
            worker.stdin.close()
            worker.stdout.close()
            worker.kill()
            worker.wait()


def changed(folders: Sequence[Path], seed: int) -> Iterator[tuple[str, bytes]]:
    """The files of these corpora, with the name of their folder; also with octets changed."""
    rng = random.Random(seed)
    for folder in folders:
        for path in sorted(folder.glob("*/*")):
            data = path.read_bytes()
            yield path.parent.name, data
            for _ in range(CHANGES):
                other = bytearray(data)
                for _ in range(rng.randrange(1, 4)):
                    if other:
                        other[rng.randrange(len(other))] = rng.randrange(256)
                yield path.parent.name, bytes(other)


def replay(path: Path) -> None:
    twins = Twins()
    try:
        twins.check(*json.loads(path.read_text()))
    finally:
        twins.stop()


def search(folders: Sequence[Path], found: Path, seconds: float, seed: int) -> list[Path]:
    """A third of the time octets, then scripts."""
    from tests.fuzz import machines, worlds

    twins = Twins()
    until = time.monotonic() + seconds
    count = 0
    try:
        while count == 0 or time.monotonic() < until - seconds * 2 / 3:
            seed += 1
            for kind, data in changed(folders, seed):
                count += 1
                if time.monotonic() > until - seconds / 2:
                    break
                try:
                    twins.check(kind, data.hex())
                except AssertionError as error:
                    broken = machines.Broken(kind, None, error)
                    return [broken.keep(found, [kind, data.hex()])]
        print(f"tried {count} files of octets")
        left = until - time.monotonic()
        return machines.search(worlds.RULES, twins.check, left, seed, found)
    finally:
        twins.stop()


if __name__ == "__main__":
    work()
