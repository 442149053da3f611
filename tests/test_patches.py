"""setup.py's patches of the C that mypyc generates: each applies, or the build stops.

The patches are tried on a package of one module, which this environment's mypyc translates to C. No
C compiler is needed to look at that. A mypy that generates other C makes these tests fail.
"""

import runpy
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from shutil import copy2
from typing import Any

import pytest

from tests.tree import ROOT

pytestmark = pytest.mark.timeout(300)

MODULE = '''"""A class with an interpreted base, and a coroutine that waits for one of others."""

import asyncio


class Protocol(asyncio.Protocol):
    """Has a place for weak references."""

    async def wait(self) -> None:
        """Has a docstring."""
        await asyncio.sleep(0)

    @property
    def size(self) -> int:
        """Has one "as well", of a property."""
        return 0


class Derived(Protocol):
    """As well."""
'''
TYPES = 2
# As `setup.py build_ext`, up to the C compiler; the first argument changes setup.py's names.
GENERATE = """
import setuptools, sys
setuptools.setup = lambda **_: None
change, sys.argv = sys.argv[1], ["setup.py"]
import setup
exec(change, vars(setup))
setup.refuse_without_compiler = lambda: None
sys.argv = ["setup.py", "build_ext"]
setup.extensions()
"""


def generate(folder: Path, change: str) -> subprocess.CompletedProcess[str]:
    """Translate a package of one module to C under `folder`, and patch it."""
    folder.joinpath("cno").mkdir(parents=True)
    folder.joinpath("stubs").mkdir()
    for name in ("setup.py", "mypy.ini"):
        copy2(ROOT / name, folder / name)
    folder.joinpath("cno", "__init__.py").write_text("")
    folder.joinpath("cno", "one.py").write_text(MODULE)
    command = [sys.executable, "-c", GENERATE, change]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def unit(folder: Path) -> str:
    return folder.joinpath("build", "__native_cno.c").read_text("utf-8")


@pytest.fixture(scope="module")
def unpatched(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The C as mypyc generates it."""
    folder = tmp_path_factory.mktemp("patches") / "unpatched"
    done = generate(folder, "def patch_unit(*_): pass\npatch_help = patch_unit")
    assert done.returncode == 0, done.stderr
    return unit(folder)


@pytest.fixture
def patches(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of setup.py, which builds nothing here."""
    monkeypatch.setattr("setuptools.setup", lambda **_: None)
    monkeypatch.setattr(sys, "argv", ["setup.py"])
    return runpy.run_path(str(ROOT / "setup.py"))


needed = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="Python itself has a place for weak references"
)


def test_what_mypyc_generates_here_is_patched(tmp_path: Path, unpatched: str) -> None:
    done = generate(tmp_path / "patched", "")
    assert done.returncode == 0, done.stderr
    text = unit(tmp_path / "patched")
    types = TYPES if sys.version_info < (3, 12) else 0
    assert text.count("PyObject_ClearWeakRefs((PyObject *)self);") == types
    assert "PyObject_ClearWeakRefs" not in unpatched
    assert "PyObject_CallOneArg(_m, value)" in text
    assert "type, value, traceback, NULL)" not in text
    assert "#include <misc_ops.c>" in unpatched
    assert "#include <misc_ops.c>" not in text
    assert text.count('PyDoc_STR("wait($self)\\n--\\n\\n" "Has a docstring.")') == 2
    assert 'NULL,  "Has one \\042as well\\042, of a property.", NULL}' in text
    assert 'PyDoc_STR("Protocol()\\n--\\n\\n" "Has a place for weak references.")' in text
    assert '{"__wrapped__", (getter)cno_of_source, 0, 0, NULL}' in text
    assert "#include <function_wrapper.c>" not in text


def test_the_build_stops_where_a_patch_does_not_apply(tmp_path: Path) -> None:
    done = generate(tmp_path / "stopped", "THROW_THREE = 'something else'")
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"cno: the patch 'throw' of the C that mypyc {metadata.version('mypy')} generates does not "
        "apply: misc_ops.c does not call throw() with three arguments."
    )
    assert "pyproject.toml" in done.stderr
    assert "CNO_BUILD=pure" in done.stderr
    assert "Traceback" not in done.stderr


CHANGES: list[tuple[str, Callable[[str], str]]] = [
    ("no type has", lambda text: text.replace(".tp_weaklistoffset = ", ".tp_other = ")),
    ("2 types, 0 Py_VISIT and", lambda text: text.replace("Py_VISIT(*(", "Py_VISIT (*(")),
    ("2 types, 2 Py_VISIT and 0", lambda text: text.replace("Py_CLEAR(*(", "Py_CLEAR (*(")),
    ("does not untrack", lambda text: text.replace("PyObject_GC_UnTrack(", "CPy_UnTrack(")),
]


@needed
@pytest.mark.parametrize(("said", "change"), CHANGES, ids=[said for said, _ in CHANGES])
def test_weak_references_are_patched_whole_or_not_at_all(
    patches: dict[str, Any], unpatched: str, said: str, change: Callable[[str], str]
) -> None:
    patch, failure = patches["patch_weak_references"], patches["Unpatched"]
    assert patch(unpatched, True) != unpatched
    with pytest.raises(failure, match="'weak references'") as caught:
        patch(change(unpatched), True)
    assert said in str(caught.value)


@needed
def test_a_place_for_weak_references_where_none_is_expected(
    patches: dict[str, Any], unpatched: str
) -> None:
    with pytest.raises(patches["Unpatched"], match="on this Python, too"):
        patches["patch_weak_references"](unpatched, False)


def test_no_file_or_two_hold_the_unit(patches: dict[str, Any], tmp_path: Path) -> None:
    paths = [tmp_path / "one.c", tmp_path / "two.c"]
    for text, said in (("", "0 of"), ("#include <misc_ops.c>\n", "2 of")):
        for path in paths:
            path.write_text(text)
        with pytest.raises(patches["Unpatched"], match=f"{said} the generated files"):
            patches["patch_unit"](paths, tmp_path / "misc_ops.c")
        text = text.replace("misc_ops", "function_wrapper")
        for path in paths:
            path.write_text(text)
        with pytest.raises(patches["Unpatched"], match=f"{said} the generated files"):
            patches["patch_help"](paths, tmp_path / "function_wrapper.c", {})


UNDOCUMENTED: list[Callable[[str], str]] = [
    lambda text: text.replace("(PyCFunction)CPyPy_", "(PyCFunction) CPyPy_"),
    lambda text: text.replace(".tp_doc = ", ".tp_about = "),
    lambda text: text.replace("NULL, NULL, NULL}", "0, 0, 0}"),
]


@pytest.mark.parametrize("change", UNDOCUMENTED)
def test_docstrings_are_patched_in_all_their_places(
    patches: dict[str, Any], unpatched: str, change: Callable[[str], str]
) -> None:
    patch, failure = patches["patch_docstrings"], patches["Unpatched"]
    assert patch(unpatched, {"Protocol___wait": "It waits."}).count('"It waits."') == 2
    with pytest.raises(failure, match="'help'"):
        patch(change(unpatched), {})


def test_the_runtime_of_functions_has_changed(patches: dict[str, Any], tmp_path: Path) -> None:
    runtime = tmp_path / "function_wrapper.c"
    runtime.write_text(patches["FUNCTION_TABLE"])
    with pytest.raises(patches["Unpatched"], match=r"function_wrapper\.c does not have"):
        patches["patch_functions"]("#include <function_wrapper.c>", runtime)
