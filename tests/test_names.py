"""The public names are loaded when they are used, and are there all the same."""

import json
import subprocess
import sys

import pytest

import cno
from cno import aio
from tests.tree import ROOT


def told(code: str) -> object:
    """Return what a fresh process prints, as JSON."""
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)


def test_all_names_are_there() -> None:
    """By `from cno import *`, by `dir`, and as attributes."""
    code = """
import json, cno
from cno import *
names = [name for name in cno.__all__ if name not in globals()]
print(json.dumps([names, sorted(set(cno.__all__) - set(dir(cno)))]))
"""
    assert told(code) == [[], []]
    assert [name for name in aio.__all__ if getattr(aio, name) is not getattr(cno, name)] == []
    assert set(aio.__all__) <= set(dir(aio))


def test_a_name_is_not_its_module() -> None:
    """A function and the module that has it could share a name."""
    for name in cno.__all__:
        if name not in ("hpack", "raw"):
            assert not isinstance(getattr(cno, name), type(sys)), name


@pytest.mark.parametrize("module", ["errors", "limits", "timeouts", "trace", "aio"])
def test_modules_are_attributes(module: str) -> None:
    assert told(f"import json, cno; print(json.dumps(cno.{module}.__name__))") == f"cno.{module}"


@pytest.mark.parametrize("module", ["cno", "cno.aio"])
def test_other_names_are_no_attributes(module: str) -> None:
    code = f"""
import json, {module} as found
try:
    found.Absent
except AttributeError as error:
    print(json.dumps(str(error)))
"""
    assert told(code) == f"module '{module}' has no attribute 'Absent'"


def test_limits_need_no_event_loop() -> None:
    code = "import json, sys, cno; cno.Limits(), cno.Timeout(); print(json.dumps([*sys.modules]))"
    loaded = told(code)
    assert isinstance(loaded, list)
    assert "asyncio" not in loaded
