"""Count instructions by `valgrind --tool=callgrind`, between marks that a script sets.

One process runs all scripts: valgrind writes and resets its counters whenever `getppid` of the C
library is entered, which nothing else here calls. Knows nothing of the scripts.
"""

import os
import platform
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.lab import HERE, program

#: Call it where counting begins, and where it ends.
mark: Final[Callable[[], int]] = os.getppid

#: What mypyc calls the functions it compiles.
OURS: Final = ("CPyDef_", "CPyPy_")

#: Nothing of the caller's environment changes a count.
ENVIRONMENT: Final = {
    "PATH": os.environ.get("PATH", os.defpath),
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "LC_ALL": "C.UTF-8",
}


def count(module: str, args: list[str], folder: Path) -> list[tuple[int, Path]]:
    """Run `python -m MODULE ARGS`: instructions between its marks, pair by pair, and where the
    details are. Raises Missing, and CalledProcessError with what it said."""
    command = [
        program("valgrind"),
        "--tool=callgrind",
        "--quiet",
        "--dump-before=getppid",
        f"--callgrind-out-file={folder / 'out'}",
        sys.executable,
        "-m",
        module,
        *args,
    ]
    done = subprocess.run(
        command,
        cwd=HERE.parent,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stderr)
        done.check_returncode()
    # `out.1` was written at the first mark and counts all before it; `out` itself comes last.
    numbered = sorted(folder.glob("out.*"), key=lambda path: int(path.suffix[1:]))
    return [(total(path), path) for path in numbered[1::2]]


def total(path: Path) -> int:
    """The instructions of one dump."""
    found = re.search(r"^(?:totals|summary): (\d+)", path.read_text(), re.M)
    if found is None:
        raise ValueError(f"{path.name} holds no total")
    return int(found[1])


@dataclass
class Profile:
    """Where instructions went: of functions themselves, and of calls by caller and callee."""

    own: Counter[str]
    calls: dict[tuple[str, str], list[int]]  # how many calls, and what they took


def profile(path: Path) -> Profile:
    """Read a dump: names are given once, and stand as numbers from then on."""
    names: dict[str, str] = {}
    found = Profile(Counter(), defaultdict(lambda: [0, 0]))

    def name_of(text: str) -> str:
        number, _, name = text.partition(" ")
        # A function that is entered again has a number behind it.
        return names.setdefault(number, name.partition("'")[0])

    caller = callee = ""
    count = 0
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("fn="):
            caller = name_of(line[3:])
        elif line.startswith("cfn="):
            callee = name_of(line[4:])
        elif line.startswith("calls="):
            count = int(line[6:].split()[0])
        elif line[:1].isdigit() or line[:1] in ("+", "-", "*"):
            spent = int(line.split()[-1])
            if count:
                call = found.calls[caller, callee]
                call[0] += count
                call[1] += spent
                count = 0
            else:
                found.own[caller] += spent
    return found


def describe(path: Path, units: int, most: int = 25) -> str:
    """Our functions, by what they and all they call outside of ours take per unit."""
    seen = profile(path)
    callees: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    total = Counter(seen.own)
    for (caller, callee), (count, spent) in seen.calls.items():
        callees[caller].append((spent, count, callee))
        if not callee.startswith(OURS):
            total[caller] += spent
    lines = []
    ours = Counter({name: spent for name, spent in total.items() if name.startswith(OURS)})
    for name, spent in ours.most_common(most):
        lines.append(f"{spent / units:9,.0f}  {name}, itself {seen.own[name] / units:,.0f}")
        for below, count, callee in sorted(callees[name], reverse=True)[:6]:
            lines.append(f"{'':14}{below / units:9,.0f}  {callee}, {count / units:.3g} times")
    return "\n".join(lines)


def toolchain() -> dict[str, str]:
    """What counts depend on beside our sources: they can't be compared across these."""
    import cno

    found: set[bytes] = set()
    for path in Path(cno.__file__).parent.parent.glob("cno__mypyc*.so"):
        found |= set(re.findall(rb"GCC: \([^)]*\) ([\d.]+)", path.read_bytes()))
    compilers = [f"GCC {name.decode()}" for name in sorted(found)]
    return {
        "python": platform.python_version(),
        "compiler": ", ".join(compilers) or "unknown",
        "libc": " ".join(platform.libc_ver()),
        "machine": platform.machine(),
    }
