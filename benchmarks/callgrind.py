"""Counting instructions by `valgrind --tool=callgrind`, between marks that a script sets.

One process runs all scripts: valgrind writes its counters down, and begins anew, whenever
`getppid` of the C library is entered, which nothing else here calls. Knows nothing of what is
counted.
"""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.lab import HERE, program

#: Call it where counting begins, and where it ends.
mark: Final[Callable[[], int]] = os.getppid

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
    # `out.1` was written at the first mark: what came before it. `out` itself is what comes last.
    numbered = sorted(folder.glob("out.*"), key=lambda path: int(path.suffix[1:]))
    return [(total(path), path) for path in numbered[1::2]]


def total(path: Path) -> int:
    """The instructions of one dump."""
    found = re.search(r"^(?:totals|summary): (\d+)", path.read_text(), re.M)
    if found is None:
        raise ValueError(f"{path.name} holds no total")
    return int(found[1])


def annotate(path: Path, inclusive: bool) -> str:
    """Where they went, function by function: in it and what it calls, or in itself."""
    flag = "yes" if inclusive else "no"
    done = subprocess.run(
        [program("callgrind_annotate"), f"--inclusive={flag}", "--threshold=98", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def toolchain() -> dict[str, str]:
    """What counts depend on beside our sources: they can't be compared across these."""
    import cno

    found: set[bytes] = set()
    for path in Path(cno.__file__).parent.parent.glob("*__mypyc*.so"):
        found |= set(re.findall(rb"GCC: \([^)]*\) ([\d.]+)", path.read_bytes()))
    compilers = [f"GCC {name.decode()}" for name in sorted(found)]
    return {
        "python": platform.python_version(),
        "compiler": ", ".join(compilers) or "unknown",
        "libc": " ".join(platform.libc_ver()),
        "machine": platform.machine(),
    }
