"""`python -m cno` and the `cno` script: run the command line.

Knows `--version`, which needs no other module. The commands are in cno.cli.
"""

import gc
import sys

from cno._build import describe


def main() -> None:
    """Run the command line, and exit with its status."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        print(describe())
        return
    # Imported modules stay in memory: no collection of garbage need look at them, now or at exit.
    gc.disable()
    from cno.cli.deferred import defer_for_client, defer_inspect

    defer_inspect()
    if sys.argv[1:2] == ["get"]:
        defer_for_client()
    from cno.cli import main as run

    try:
        run()
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()
