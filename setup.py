"""Compiles the package with mypyc into one compilation unit, or leaves it as it is.

`CNO_BUILD=mypyc` (what happens unless told) needs a C compiler; `CNO_BUILD=pure` needs none and
gives a wheel for any platform. `CNO_OPT=1` compiles in two thirds of the time what is a tenth
slower. The package's name, needs and contents are in pyproject.toml.
"""

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import cast

from setuptools import Extension, setup

ROOT = Path(__file__).parent

# Stays interpreted, whole folders by their trailing slash; all else is compiled.
INTERPRETED = {
    "cno/__init__.py": "decides which build runs, so it must run before either is loaded",
    "cno/_build.py": "as cno/__init__.py, which needs it first",
    "cno/__main__.py": "`python -m` runs code, and an extension module has none to give",
    "cno/errors.py": "compiled code does not recognise an application's subclass of such a class",
    "cno/aio/errors.py": "as cno/errors.py",
    "cno/aio/channel.py": "as cno/errors.py",
    "cno/aio/serving.py": "a compiled function that is no coroutine function has no annotations",
    "cno/aio/stacks.py": "looks into compiled coroutines, as nothing compiled could",
    "cno/cli/": "click looks into the functions it is given, and nothing there is hot",
    "cno/examples/": "to be read and copied; wsproto need not be there to build",
}

# The commands that turn sources into extensions; others (metadata, sdist) need not wait for mypyc.
BUILDS = {"bdist_wheel", "build", "build_ext", "editable_wheel", "install"}

# Found in CI, under the one Python and mypy it runs; never a reason to refuse a user's build.
WARNINGS_OFF = ["--no-warn-unused-ignores", "--no-warn-unreachable", "--no-warn-redundant-casts"]
# What a C compiler that mypyc does not know may say of its output is not to be an error. Of GCC's
# warnings, the one about indentation alone takes a third of a build, in one file of that size.
C_WARNINGS_OFF = ["-w", "-Wno-misleading-indentation"]


def compiled_modules() -> list[str]:
    """Every module to compile, sorted so that the same sources always give the same C."""
    modules = (path.relative_to(ROOT).as_posix() for path in ROOT.glob("cno/**/*.py"))
    kept = {m for m in modules if not any(m == i or m.startswith(i) for i in INTERPRETED)}
    return sorted(kept)


def refuse_without_compiler() -> None:
    """Compile two lines as the build would. No use going on, for minutes, if that fails."""
    from distutils import ccompiler, sysconfig

    compiler = ccompiler.new_compiler()
    sysconfig.customize_compiler(compiler)
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder, "probe.c")
        probe.write_text("#include <Python.h>\nint probe(void) { return PY_MAJOR_VERSION; }\n")
        try:
            include = [sysconfig.get_python_inc(), sysconfig.get_python_inc(plat_specific=True)]
            compiler.compile([str(probe)], output_dir=folder, include_dirs=include)
        except Exception as error:  # each compiler class has errors of its own
            sys.exit(
                f"cno: no C compiler that works with this Python's headers ({error}).\n"
                "Install one (Debian: apt-get install gcc python3-dev; macOS: xcode-select "
                "--install), or build without it, slower at run time: CNO_BUILD=pure"
            )


def mend_weak_references(text: str) -> str:
    """Make weak references to objects with an interpreted base (the asyncio classes) safe.

    mypyc 2.4 gives them a place for such references where Python is older than 3.12 (where there
    are none), but frees what is there as if it were its own, and never tells those who refer that
    the object is gone: a crash of the process, later. Neither visited nor freed, but told.
    """
    of_self = r"\(\(char \*\)self \+ sizeof\(PyObject \*\) \+ sizeof\(\w+\)\)"
    text = re.sub(rf"Py_(?:VISIT|CLEAR)\(\*\(\(PyObject \*\*\){of_self}\)\);", "", text)
    for kind in re.findall(r"PyTypeObject \w+_template_ = \{.*?\n\s*\};", text, re.DOTALL):
        place = re.search(r"\.tp_weaklistoffset = (.*),", kind)
        freed_by = re.search(r"\.tp_dealloc = \(destructor\)(\w+),", kind)
        if place and freed_by:
            last_word = "PyObject_ClearWeakRefs((PyObject *)self);"
            tell = f"if (*(PyObject **)((char *)self + {place[1]}) != NULL) {last_word}"
            definition = rf"(\b{freed_by[1]}\(\w+ \*self\)\s*\{{.*?\bPyObject_GC_UnTrack\(self\);)"
            text = re.sub(definition, rf"\1 {tell}", text, count=1, flags=re.DOTALL)
    return text


def mend_throw(text: str, runtime: Path) -> str:
    """Hand exceptions on to the coroutines that compiled ones wait for by `throw(error)` alone.

    mypyc 2.4 calls `throw(type, error, traceback)`, which Python warns of since 3.12: at every
    cancellation and timeout, of the user's own lines.
    """
    used = runtime.read_text("utf-8").replace(
        "PyObject_CallFunctionObjArgs(_m, type, value, traceback, NULL)",
        "PyObject_CallOneArg(_m, value)",
    )
    return text.replace(f"#include <{runtime.name}>", used)


def extensions() -> list[Extension]:
    """What `CNO_BUILD` asks for: the extensions of the one compilation unit, or none."""
    build = os.environ.get("CNO_BUILD") or "mypyc"
    if build not in ("mypyc", "pure"):
        sys.exit(f"cno: CNO_BUILD={build!r} is neither 'mypyc' (compiled) nor 'pure' (as it is).")
    if build == "pure" or BUILDS.isdisjoint(sys.argv):
        return []
    refuse_without_compiler()
    from mypyc.build import include_dir, mypycify

    unit = mypycify(
        [*WARNINGS_OFF, *compiled_modules()],
        opt_level=os.environ.get("CNO_OPT") or "3",
        debug_level="0",  # debug information would hold the path of the build folder
        strict_dunder_typing=True,
        group_name="cno",  # cno__mypyc, whatever modules there are
    )
    found = cast(list[Extension], unit)  # mypyc says: or of distutils, were setuptools missing
    if os.name == "posix":
        for extension in found:
            # Calls and globals of the unit need no detour for a library that might replace them:
            # 3 % fewer instructions a request. What Python looks for is exported all the same.
            more = ["-fvisibility=hidden", *C_WARNINGS_OFF]
            extension.extra_compile_args = [*extension.extra_compile_args, *more]
    runtime = Path(include_dir()) / "misc_ops.c"
    for path in {Path(source) for extension in found for source in extension.sources}:
        text = mend_weak_references(path.read_text("utf-8"))
        path.write_text(mend_throw(text, runtime), "utf-8")
    return found


setup(ext_modules=extensions())
