"""Runs public suites against cno: `python -m tests.suites uvicorn|gunicorn [pytest's arguments]`.

Their sources are fetched by pip when this runs. Exits with pytest's code.
"""

import sys

from tests.suites import gunicorn_suite, uvicorn_suite

SUITES = {"uvicorn": uvicorn_suite.run, "gunicorn": gunicorn_suite.run}


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in SUITES:
        print(__doc__)
        return 2
    return SUITES[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
