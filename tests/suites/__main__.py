"""Runs public suites against cno, whose sources pip fetches when this runs.

    python -m tests.suites uvicorn [pytest's arguments]      the tests of its three newest minor
                                                             versions, with cno.uvicorn:Protocol
    python -m tests.suites uvicorn==0.52.4                   those of that version
    python -m tests.suites gunicorn [serve|uvicorn] [...]    its suite of ASGI compliance
    python -m tests.suites frameworks [serve|uvicorn] [...]  its grid of six frameworks
    python -m tests.suites autobahn [server|client] [1|2] [CASES...]   Autobahn's, of WebSockets

It needs cno[test] and tests/suites/requirements.txt. Exits with pytest's code.
"""

import sys

from tests.suites import autobahn_suite, frameworks_suite, gunicorn_suite, uvicorn_suite

SUITES = {
    "uvicorn": uvicorn_suite.run,
    "gunicorn": gunicorn_suite.run,
    "frameworks": frameworks_suite.run,
    "autobahn": autobahn_suite.run,
}


def main() -> int:
    name, _, version = (sys.argv[1] if len(sys.argv) > 1 else "").partition("==")
    if name not in SUITES:
        print(__doc__)
        return 2
    return SUITES[name](sys.argv[2:], version)


if __name__ == "__main__":
    sys.exit(main())
