"""Building, packaging and loading: setup.py, metadata, the choice of the build at run time.

Runs against the installed build. The tests build wheels of the sources only, which takes seconds;
`.ci/run` builds and tries the compiled ones.
"""

import ast
import json
import os
import platform
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType

import pytest

import cno
from cno._build import VERSION, describe
from tests.tree import PACKAGE, ROOT, source_tree

pytestmark = pytest.mark.timeout(300)

SOURCES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
# Files that are no code: the types' marker, style sheets and scripts.
DATA = {"cno/py.typed"} | {
    path.relative_to(PACKAGE.parent).as_posix()
    for path in (PACKAGE / "cli" / "page_files").iterdir()
}


def run(
    command: Sequence[str | Path],
    cwd: Path,
    environment: Mapping[str, str | None] = MappingProxyType({}),
    *,
    fails: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder; the environment is ours with these changes (None: unset)."""
    ours = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "PYTHONWARNINGS": "", **environment}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={name: value for name, value in ours.items() if value is not None},
    )
    if fails is (result.returncode == 0):
        pytest.fail(f"{command} ended with {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result


def python(code: str, **environment: str | None) -> str:
    """What a fresh interpreter prints that finds `cno` where we did."""
    return run([sys.executable, "-c", code], ROOT, environment).stdout.strip()


# -- which build runs -----------------------------------------------------------------------------


def test_the_build_is_the_one_that_was_asked_for() -> None:
    expected = os.environ.get("CNO_EXPECT")
    if expected is None:
        pytest.skip("CNO_EXPECT=compiled|pure does not say which build this should be")
    assert expected in ("compiled", "pure")
    assert cno.COMPILED is (expected == "compiled")


LOADED = """
import json, sys
from importlib.machinery import EXTENSION_SUFFIXES
import cno, cno.hpack
cno.Client, cno.raw
ours = [name for name in sys.modules if name.partition(".")[0].startswith("cno")]
files = {name: sys.modules[name].__file__ or "" for name in ours}
native = [n for n, f in files.items() if f.endswith(tuple(EXTENSION_SUFFIXES))]
print(json.dumps([cno.COMPILED, sorted(native), sorted(files)]))
"""


def test_extensions_are_loaded_all_or_none() -> None:
    compiled, native, names = json.loads(python(LOADED, CNO_PURE=None))
    assert compiled is cno.COMPILED or "CNO_PURE" in os.environ
    plain = "_build _description aio enums errors hpack.errors settings_dict stats".split()
    plain.append("timeouts")
    layer = "channel coroutine_functions errors forwarding public running serving stacks".split()
    layer += "client.requesting client.traced client.upgrade_refused server.traced".split()
    interpreted = {
        "cno",
        *(f"cno.{name}" for name in plain),
        *(f"cno.aio.{name}" for name in layer),
        *(name for name in names if name.startswith("cno.trace")),
    }
    assert set(native) == (set(names) - interpreted if compiled else set())
    assert ("cno__mypyc" in native) is compiled


@pytest.mark.parametrize("value", ["1", "yes"])
def test_CNO_PURE_loads_no_extension(value: str) -> None:
    compiled, native, names = json.loads(python(LOADED, CNO_PURE=value))
    assert not compiled
    assert native == []
    assert {"cno.const", "cno.hpack.tables"} <= set(names)


@pytest.mark.parametrize("value", ["", "0"])
def test_CNO_PURE_switched_off(value: str) -> None:
    assert python(LOADED, CNO_PURE=value) == python(LOADED, CNO_PURE=None)


def test_description_names_version_and_build() -> None:
    assert describe() == f"cno {VERSION} ({'compiled' if cno.COMPILED else 'pure Python'})"


# -- python -m cno --------------------------------------------------------------------------------

# As without the extra: packages of the command line cannot be found.
WITHOUT_EXTRA = """
import sys
for name in ("click", "rich"):
    sys.modules[name] = None
sys.argv = ["cno", *sys.argv[1:]]
from cno.__main__ import main
main()
"""


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version_from_the_command_line(option: str) -> None:
    command = [sys.executable, "-m", "cno", option]
    assert run(command, ROOT).stdout == describe() + "\n"


def test_version_needs_no_extra() -> None:
    code = "import sys; sys.argv.append('--version')" + WITHOUT_EXTRA
    assert python(code) == describe()


def test_missing_extra_is_explained() -> None:
    result = run([sys.executable, "-c", WITHOUT_EXTRA, "serve"], ROOT, fails=True)
    assert result.returncode == 1
    assert "pip install 'cno[cli]'" in result.stderr
    assert "Traceback" not in result.stderr


# -- what importing costs -------------------------------------------------------------------------

# Modules, not milliseconds: those are the same on a busy machine.
IMPORTS = """
import asyncio, json, ssl, sys
before = set(sys.modules)
import cno
cno.Client, cno.raw, cno.hpack
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""

CHEAP = {
    # Ours, and the engine's two packages.
    *("cno", "cno__mypyc", "librt", "librt__mypyc", "mypy_extensions"),
    # Of the standard library: small, or loaded by asyncio in another Python version.
    *("__future__", "_collections_abc", "copy", "dataclasses", "gc"),
    *("base64", "_weakrefset", "weakref", "zlib", "bisect", "_bisect", "time", "termios"),
}


def test_import_alone_loads_no_part_that_is_not_used() -> None:
    code = "import json, sys, cno; print(json.dumps(sorted(sys.modules)))"
    found = set(json.loads(python(code)))
    assert not found & {"asyncio", "ssl", "inspect", "dataclasses", "cno.engine", "cno.raw"}
    code = "import json, sys, cno.raw; print(json.dumps(sorted(sys.modules)))"
    found = set(json.loads(python(code)))
    assert "cno.engine" in found
    assert not found & {"asyncio", "ssl", "socket"}


def test_the_first_use_of_a_name_loads_nothing_large() -> None:
    assert set(json.loads(python(IMPORTS))) <= CHEAP


# Blocks that glibc has taken straight from the kernel, before and after a block of 4 MiB.
MAPPED = """
import ctypes, cno
cno.Client

class Info(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Info
before = mallinfo().hblks
block = bytes(4 << 20)
print(mallinfo().hblks - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about the allocator of glibc")
def test_import_leaves_the_allocator_alone() -> None:
    """Freed blocks of megabytes would raise the size from which others come from the kernel."""
    assert python(MAPPED) == "1"


# -- metadata -------------------------------------------------------------------------------------


def project() -> dict[str, object]:
    table: dict[str, object] = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text())["project"]
    return table


def test_one_version() -> None:
    assert cno.__version__ == VERSION
    assert project()["dynamic"] == ["version"]
    changes = ROOT / "CHANGELOG.md"
    if changes.exists():
        assert VERSION in changes.read_text() or "Unreleased" in changes.read_text()


def test_installed_files() -> None:
    """A wheel has the sources beside the extensions, the types' marker, and nothing else."""
    try:
        installed = distribution("cno")
    except PackageNotFoundError:
        pytest.skip("runs from a checkout, nothing is installed")
    files = {file.as_posix() for file in installed.files or ()}
    if installed.read_text("WHEEL") is None or "cno/__init__.py" not in files:
        pytest.skip("runs from a checkout, or installed in editable mode: the files are elsewhere")
    assert installed.version == VERSION
    assert installed.metadata["License-Expression"] == "MIT"
    shipped = {file for file in files if file.endswith((".py", ".typed", ".css", ".js"))}
    assert shipped == {f"cno/{source}" for source in SOURCES} | DATA
    native = {file.split(".")[0] for file in files if file.endswith(tuple(EXTENSION_SUFFIXES))}
    assert native == ({*map(stem, compiled_modules()), "cno__mypyc"} if cno.COMPILED else set())
    assert not [file for file in files if file.split("/")[0] in ("tests", "stubs", "benchmarks")]


def stem(module: str) -> str:
    return module.removesuffix(".py")


# -- setup.py -------------------------------------------------------------------------------------

# setup.py looks for the package beside itself; here it looks where the package is installed.
LISTING = """
import json, pathlib, setuptools, sys
setuptools.setup = lambda **options: None
import setup
setup.ROOT = pathlib.Path(sys.argv[1])
print(json.dumps([setup.compiled_modules(), setup.INTERPRETED]))
"""


def listed() -> tuple[list[str], dict[str, str]]:
    """The modules that setup.py compiles, and its reasons for those that it leaves alone."""
    command = [sys.executable, "-c", LISTING, str(PACKAGE.parent)]
    modules, interpreted = json.loads(run(command, ROOT).stdout)
    return modules, interpreted


def compiled_modules() -> list[str]:
    return listed()[0]


def test_everything_is_compiled_but_for_a_reason() -> None:
    modules, interpreted = listed()
    assert modules == sorted(modules)
    assert all(interpreted.values())
    files = [f"cno/{source}" for source in SOURCES]
    assert [name for name in interpreted if not any(f.startswith(name) for f in files)] == []
    left_out = set(files) - set(modules)
    assert left_out == {
        file
        for file in files
        if file in interpreted or any(d.endswith("/") and file.startswith(d) for d in interpreted)
    }
    assert {"cno/const.py", "cno/hpack/tables.py"} <= set(modules)
    assert {"cno/__init__.py", "cno/_build.py", "cno/__main__.py"} <= left_out


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return source_tree(tmp_path_factory.mktemp("packaging") / "checkout")


def test_unknown_build_is_refused(checkout: Path) -> None:
    command = [sys.executable, "setup.py", "build_ext"]
    result = run(command, checkout, {"CNO_BUILD": "rust"}, fails=True)
    assert result.returncode == 1
    assert result.stderr.strip() == (
        "cno: CNO_BUILD='rust' is neither 'mypyc' (compiled) nor 'pure' (as it is)."
    )


def test_missing_compiler_is_explained(checkout: Path) -> None:
    command = [sys.executable, "setup.py", "build_ext"]
    absent = "no-such-compiler"
    environment = {"CNO_BUILD": "mypyc", "CC": absent, "CXX": absent}
    result = run(command, checkout, environment, fails=True)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    advice = result.stderr.strip().splitlines()[-2:]
    assert advice[0].startswith("cno: no C compiler")
    assert absent in advice[0]
    assert "CNO_BUILD=pure" in advice[1]


# -- wheels and sdists ----------------------------------------------------------------------------

WHEEL = "import sys; from setuptools.build_meta import build_wheel as b; print(b(sys.argv[1]))"
SDIST = "import sys; from setuptools.build_meta import build_sdist as b; print(b(sys.argv[1]))"


def build(backend: str, checkout: Path, target: Path, **environment: str | None) -> Path:
    """Build with the tools that are here: what is built is tested, not what pip downloads."""
    target.mkdir()
    run([sys.executable, "-c", backend, target], checkout, {"PYTHONPATH": None, **environment})
    [built] = target.iterdir()
    return built


def test_pure_wheel(checkout: Path, tmp_path: Path) -> None:
    wheel = build(WHEEL, checkout, tmp_path / "dist", CNO_BUILD="pure")
    assert wheel.name == f"cno-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        info = {name.partition("/")[2] for name in archive.namelist() if ".dist-info/" in name}
    assert names == {f"cno/{source}" for source in SOURCES} | DATA
    assert {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"} <= info


def test_sdist_has_the_tree_and_builds(checkout: Path, tmp_path: Path) -> None:
    # Figures and plots that a run of the benchmarks left behind are nobody else's.
    results = checkout / "benchmarks" / "results"
    for name in ("engine.json", "engine.svg"):
        results.joinpath(name).touch()
    # A compiler that is not there: whoever makes an sdist needs none.
    sdist = build(SDIST, checkout, tmp_path / "dist", CNO_BUILD="mypyc", CC="no-such-compiler")
    assert sdist.name == f"cno-{VERSION}.tar.gz"
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / f"cno-{VERSION}"
    has = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert {f"cno/{source}" for source in SOURCES} <= has
    assert {"setup.py", "mypy.ini", "LICENSE", "tests/test_packaging.py"} | DATA <= has
    assert not [name for name in has if name.endswith((".so", ".pyc", ".c")) or "_cache/" in name]
    kept = {f"benchmarks/results/{name}" for name in ("report.md", "headline.svg")}
    assert {name for name in has if name.startswith("benchmarks/results/")} == kept
    assert {name for name in has if name.startswith("docs/")}
    wheel = build(WHEEL, unpacked, tmp_path / "again", CNO_BUILD="pure")
    assert wheel.name == f"cno-{VERSION}-py3-none-any.whl"


# -- the tests in each wheel -----------------------------------------------------------------------


def imported(path: Path) -> set[str]:
    """Return the names of the modules that a file imports as it is loaded."""
    found: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_wheels_are_tested_with_what_their_tests_import() -> None:
    """cibuildwheel installs `test-requires` beside the wheel, and nothing else."""
    settings = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text("utf-8"))
    config = settings["tool"]["cibuildwheel"]
    folders = re.findall(r"tests/\w+", " ".join(config["test-command"]))
    assert len(folders) > 3
    waiting = [path for each in folders for path in ROOT.joinpath(each).glob("*.py")]
    waiting.append(ROOT / "tests" / "conftest.py")
    seen: set[Path] = set()
    packages: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in seen or not path.exists():
            continue
        seen.add(path)
        for name in imported(path):
            packages.add(name.partition(".")[0])
            waiting.append(ROOT.joinpath(*name.split(".")).with_suffix(".py"))
    needed = packages - set(sys.stdlib_module_names) - {"cno", "tests"}
    required = [*config["test-requires"], *settings["project"]["dependencies"]]
    named = {re.split(r"\W", each)[0] for each in required}
    assert needed <= named
