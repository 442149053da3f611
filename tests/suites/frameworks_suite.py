"""gunicorn's grid of ASGI frameworks: Channels, FastAPI, Starlette, Quart, Litestar, BlackSheep.

`python -m tests.suites frameworks [serve|uvicorn] [pytest's arguments]`. The containers are
replaced by servers of ours. Prints how many tests of each framework pass, and fails for a miss that
`MISSES` does not explain, or explains although it passes.
"""

import os
import re
import subprocess
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from xml.etree import ElementTree

from tests.peers import free_port
from tests.processes import ENVIRONMENT, Running
from tests.suites.fetch import sources
from tests.suites.services import chosen, command, pytest_command

FRAMEWORKS = ("django", "fastapi", "starlette", "quart", "litestar", "blacksheep")

#: Tests that fail, by their name, and why: with each framework, unless it names one.
MISSES: dict[str, str] = {}

#: Takes the place of the fixture that starts containers.
PORTS = """

for _name, _port in {ports!r}.items():
    FRAMEWORKS[_name]["port"] = _port


@pytest.fixture(scope="session")
def docker_services():
    yield
"""


def run(arguments: list[str], version: str = "") -> int:
    """Run the grid on each kind of server; 0 if every miss is explained."""
    kinds, arguments = chosen(arguments)
    requirement = f"gunicorn=={version}" if version else "gunicorn"
    failed = 0
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="suite.") as name:
            failed |= run_on(kind, sources(requirement, Path(name)), arguments)
    return failed


def run_on(kind: str, gunicorn: Path, arguments: list[str]) -> int:
    suite = gunicorn / "tests/docker/asgi_framework_compat"
    ports = {name: free_port() for name in FRAMEWORKS}
    with (suite / "conftest.py").open("a") as conftest:
        conftest.write(PORTS.format(ports=ports))
    report = gunicorn.parent / "report.xml"
    with ExitStack() as stack:
        for name, port in ports.items():
            folder = suite / "frameworks" / f"{name}_app"
            path = os.pathsep.join([ENVIRONMENT["PYTHONPATH"], str(folder)])
            environment = {**ENVIRONMENT, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "settings"}
            app = "asgi:application" if name == "django" else "app:app"
            running = stack.enter_context(Running(command(kind, app, port), folder, environment))
            running.wait_listening(port)
        tests = [*pytest_command(suite, arguments), f"--junit-xml={report}", "--tb=short"]
        subprocess.run(tests, cwd=suite, env=ENVIRONMENT, check=False)
    return show(kind, report)


def show(kind: str, report: Path) -> int:
    """Print the grid; return 1 if there is a miss that is not explained."""
    passed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    problems: list[str] = []
    for case in ElementTree.parse(report).iter("testcase"):
        found = re.fullmatch(r"(\w+)\[(\w+)(?:-.*)?\]", case.get("name", ""))
        if found is None:
            continue
        test, framework = found[1], found[2]
        if case.find("skipped") is not None:
            continue  # by the suite itself
        total[framework] += 1
        fails = case.find("failure") is not None or case.find("error") is not None
        why = MISSES.get(f"{test}[{framework}]") or MISSES.get(test)
        passed[framework] += not fails
        if fails:
            problems += [] if why else [f"{test}[{framework}] fails"]
            print(f"{test}[{framework}]: {why or 'not explained'}")
        elif why:
            problems.append(f"{test}[{framework}] passes, although MISSES explains why not")
    for framework in FRAMEWORKS:
        print(f"{kind:8} {framework:12} {passed[framework]}/{total[framework]}")
    for problem in problems:
        print(problem)
    return int(bool(problems) or not total)
