"""`python -m cno` and the `cno` script: run the command line, which is an extra.

Knows the message for a missing package, and `--version`, which needs no package. The commands are
in cno.cli.
"""

import sys

from cno._build import describe


def main() -> None:
    """Run the command line. Exits with 1 and a line of advice if an extra package is missing."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        print(describe())
        return
    try:
        from cno.cli import main as run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "cno":
            raise
        sys.exit(f"cno: the command line needs {error.name}. Install it: pip install 'cno[cli]'")
    run()


if __name__ == "__main__":
    main()
