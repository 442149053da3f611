"""`python -m cno`, and the `cno` script: hands over to the command line, an extra.

Knows what to say when its packages are missing, and `--version`, which needs none of them. The
commands are in cno.cli.
"""

import sys

from cno._build import describe


def main() -> None:
    """Run the command line. Exits with 1 and a line of advice where an extra package is missing."""
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
