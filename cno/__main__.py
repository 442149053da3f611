"""`python -m cno` and the `cno` script: run the command line.

Knows `--version`, which needs no other module. The commands are in cno.cli.
"""

import sys

from cno._build import describe


def main() -> None:
    """Run the command line, and exit with its status."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        print(describe())
        return
    from cno.cli import main as run

    run()


if __name__ == "__main__":
    main()
