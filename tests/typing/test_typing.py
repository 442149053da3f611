"""The package in the view of type checkers: mypy and pyright, in their strictest modes.

Each program is checked alone in a folder, so that the checkers find the installed package by its
py.typed marker.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doc_examples import blocks
from tests.peers import missing
from tests.tree import PACKAGE, ROOT

pytestmark = pytest.mark.timeout(300)

PROGRAMS = ["raw_user.py", "hpack_user.py", "asyncio_user.py"]
INSTALLED = "site-packages" in PACKAGE.parts

MYPY = ["mypy", "--config-file=", "--strict", "--warn-unreachable", "--no-error-summary"]
PYRIGHT = ["pyright", "--pythonpath", sys.executable]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache of mypy for all programs, so that the package is checked once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYPY_CACHE_DIR", str(tmp_path_factory.mktemp("mypy")))
        yield


def run(cwd: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a checker: `python -m command`."""
    if importlib.util.find_spec(command[0]) is None:
        missing(f"{command[0]} is not installed")
    # --verifytypes asks the first `python` on PATH for its packages, whatever --pythonpath says.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    environment = os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "PATH": path}
    if not INSTALLED:
        environment["MYPYPATH"] = str(PACKAGE.parent)
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
    )


def check(cwd: Path, *command: str) -> str:
    """What a checker has to say; nothing if it is content."""
    result = run(cwd, *command)
    return "" if result.returncode == 0 else result.stdout + result.stderr


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name: str = request.param
    shutil.copy(Path(__file__).parent / name, tmp_path)
    configure_pyright(tmp_path)
    return tmp_path / name


def configure_pyright(folder: Path) -> None:
    search = [] if INSTALLED else [str(PACKAGE.parent)]
    config = {"typeCheckingMode": "strict", "include": ["."], "extraPaths": search}
    folder.joinpath("pyrightconfig.json").write_text(json.dumps(config))


def test_mypy(program: Path) -> None:
    complaints = check(program.parent, *MYPY, program.name)
    assert not complaints, complaints


def test_pyright(program: Path) -> None:
    complaints = check(program.parent, *PYRIGHT)
    assert not complaints, complaints


@pytest.mark.parametrize("wrong", ["'x'.on_close", "1 + 'one'"])
def test_checkers_can_fail(wrong: str, tmp_path: Path) -> None:
    tmp_path.joinpath("wrong.py").write_text(f"import cno\nprint(cno.COMPILED, {wrong})\n")
    assert "wrong.py:2" in check(tmp_path, *MYPY, "wrong.py")
    assert "wrong.py:2" in check(tmp_path, *PYRIGHT, "wrong.py")


#: Programs of users, each about one subject.
ACCEPTED = sorted(Path(__file__).parent.joinpath("accepted").glob("*.py"))


def test_programs_of_users(tmp_path: Path) -> None:
    """All at once: a checker takes seconds to begin."""
    assert len(ACCEPTED) >= 40
    for path in ACCEPTED:
        shutil.copy(path, tmp_path)
    configure_pyright(tmp_path)
    complaints = check(tmp_path, *MYPY, *(path.name for path in ACCEPTED))
    complaints += check(tmp_path, *PYRIGHT)
    assert not complaints, complaints


#: Statements in an asynchronous function that both checkers must reject.
MISTAKES = [
    "cno.serve(handle)",
    "cno.serve(handle, '127.0.0.1')",
    "cno.serve(handle, port=None)",
    "cno.serve(handle, port=80, path='/run/socket')",
    "cno.serve(handle, port=80, mode=0o600)",
    "cno.serve(handle, port=80, time=10)",
    "cno.serve(not_awaitable, port=80)",
    "cno.serve(handle, port=80, on_response=lambda request: None)",
    "cno.run(handle, '127.0.0.1', '80')",
    "cno.request('GET', 'http://cno.test/', {'a': 1}.items())",
    "cno.request('GET', 'http://cno.test/', {'a': 'b'})",
    "cno.request('GET', 'http://cno.test/', data='text')",
    "cno.request('GET', 'http://cno.test/', timeout='5')",
    "cno.request('GET', 'http://cno.test/', timeout=(3, 5))",
    "cno.request('GET')",
    "cno.connect('http://cno.test/', verify=False)",
    "cno.connect('http://cno.test/').is_http2",
    "cno.Channel(10).put_nowait('text')",
    "cno.Pool(max_connections='10')",
    "cno.Pool(settings={'window': 1})",
    "cno.Limits(body_timeout='30')",
    "cno.Timeout(3, 5)",
    "cno.Timeout(idle=3)",
    "pool.request('GET', 'http://cno.test/').code",
    "pool.request('GET', 'http://cno.test/', on_informational=lambda code: None)",
    "(await pool.request('GET', 'http://cno.test/')).json().keys()",
    "(await pool.request('GET', 'http://cno.test/')).headers['etag']",
    "(await pool.request('GET', 'http://cno.test/')).status",
    "(await pool.request('GET', 'http://cno.test/')).header('age', 0)",
    "await request.respond('200')",
    "await request.respond(200, [], {'json': 1})",
    "await request.respond(200, [('content-length', 5)])",
    "await request.start(200).write(b'data').write(b'more')",
    "request.peer[0]",
    "cno.raw.Connection(server=1, role=2)",
    "cno.Pool(trace=print)",
    "cno.connect('http://cno.test/', trace='file')",
    "sync.Pool(trace=print)",
    "sync.connect('http://cno.test/', verify=False)",
    "await sync.request('GET', 'http://cno.test/')",
    "socket.send(1)",
    "socket.send('text', timeout='1')",
    "socket.receive().encode()",
    "await socket.receive()",
    "socket.close('bye')",
    "sync.Pool().websocket('ws://cno.test/', subprotocols=1)",
    "sync.Pool().websocket('ws://cno.test/', options={'compression': False})",
]


def test_mistakes_are_noticed(tmp_path: Path) -> None:
    """By each checker, line by line."""
    assert len(MISTAKES) >= 25
    program = [
        "import cno, cno.sync as sync",
        "from cno.sync.websocket import WebSocket",
        "async def handle(request: cno.Request) -> None: ...",
        "def not_awaitable(request: cno.Request) -> None: ...",
        "async def main(pool: cno.Pool, request: cno.Request, socket: WebSocket) -> None:",
        *(f"    print({each})" for each in MISTAKES),
    ]
    tmp_path.joinpath("wrong.py").write_text("\n".join([*program, ""]))
    configure_pyright(tmp_path)
    for checker in ([*MYPY, "wrong.py"], PYRIGHT):
        said = check(tmp_path, *checker)
        found = {int(line) for line in re.findall(r"wrong\.py:(\d+)(?::\d+)?(?: -|:) error", said)}
        missed = [program[n - 1] for n in sorted(set(range(6, len(program) + 1)) - found)]
        assert not missed, said
        assert found == set(range(6, len(program) + 1)), said


def test_examples_of_documents(tmp_path: Path) -> None:
    """They are as strictly typed as the package."""
    files = []
    for number, page in enumerate([ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]):
        text = page.read_text("utf-8")
        shown = [each for each in blocks(text) if each.language == "python" and not each.is_hidden]
        stems = {each.title.removesuffix(".py"): f"page{number}_" for each in shown if each.title}
        for each in shown:
            code = each.text
            for stem, prefix in stems.items():  # pages have files of the same names
                code = re.sub(
                    rf"^from {stem} import", f"from {prefix}{stem} import", code, flags=re.M
                )
            files.append(f"page{number}_{each.title or f'line{each.line}.py'}")
            tmp_path.joinpath(files[-1]).write_text(code)
    assert len(files) > 50
    configure_pyright(tmp_path)
    assert not check(tmp_path, *MYPY, *files)
    assert not check(tmp_path, *PYRIGHT)


#: Classes that derive from those of Django, which has no types.
OF_DJANGO = ["cno.django.apps.CnoConfig", "cno.django.management.commands.runserver.Command"]


def test_every_public_type_is_known(tmp_path: Path) -> None:
    """pyright's own measure of a typed package: no public symbol whose type is unknown.

    A type not written but inferred, as by `self.size = 0`, it calls ambiguous: that is fine.
    """
    if not INSTALLED:
        pytest.skip("pyright verifies installed packages only")
    options = ["--verifytypes", "cno", "--ignoreexternal", "--outputjson"]
    report = json.loads(run(tmp_path, "pyright", *options).stdout)["typeCompleteness"]
    assert report["pyTypedPath"]
    assert report["exportedSymbolCounts"]["withKnownType"] > 100
    unknown = [
        symbol["name"]
        for symbol in report["symbols"]
        if not symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"]
    ]
    assert sorted(unknown) == OF_DJANGO
