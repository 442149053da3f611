"""Compiles the package with mypyc into one compilation unit, or leaves it as it is.

`CNO_BUILD=mypyc` (what happens unless told) needs a C compiler; `CNO_BUILD=pure` needs none and
gives a wheel for any platform. `CNO_OPT=1` compiles in two thirds of the time what is a tenth
slower. The package's name, needs and contents are in pyproject.toml.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterable
from importlib import metadata
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


class Unpatched(Exception):
    """A patch of the generated C did not find what it changes."""

    def __init__(self, patch: str, what: str) -> None:
        super().__init__(
            f"cno: the patch {patch!r} of the C that mypyc {mypy_version()} generates does not "
            f"apply: {what}.\nThat mypyc is not the one this package was tested with. Build with "
            "the versions of build-system.requires in pyproject.toml, or without mypyc "
            "(CNO_BUILD=pure). If that mypyc has corrected the error, remove the patch from "
            "setup.py."
        )


def mypy_version() -> str:
    return metadata.version("mypy")


# An interpreted base (asyncio.Protocol) is to leave room for weak references behind the fields.
WEAK = "weak references"
#: That room, as code that visits or clears an object names it.
WEAK_PLACE = r"\*\(\(PyObject \*\*\)\(\(char \*\)self \+ sizeof\(PyObject \*\) \+ sizeof\(\w+\)\)\)"
#: A type with such a place (1) and a function that frees its objects (2).
WEAK_TYPE = re.compile(
    r"PyTypeObject \w+_template_ = \{(?:(?!\};).)*?\.tp_dealloc = \(destructor\)(\w+),"
    r"(?:(?!\};).)*?\.tp_weaklistoffset = ([^,]*),",
    re.DOTALL,
)


def patch_weak_references(text: str, needed: bool) -> str:
    """Make weak references to objects with an interpreted base (the asyncio classes) safe.

    For Python 3.11, mypyc 2.4 gives such objects a place for the list of their weak references. It
    treats the list as an object that it owns: it visits and frees it, and it never clears the
    references when the object goes. The process crashes later. With this patch, the list is neither
    visited nor freed, and the references are cleared. From Python 3.12 on, mypyc uses a place that
    Python manages (`needed` is False), and nothing is to be changed.
    """
    text, visits = re.subn(rf"Py_VISIT\({WEAK_PLACE}\);", "", text)
    text, clears = re.subn(rf"Py_CLEAR\({WEAK_PLACE}\);", "", text)
    types = WEAK_TYPE.findall(text)
    for dealloc, place in types:
        cleared = (
            f"if (*(PyObject **)((char *)self + {place}) != NULL) "
            "PyObject_ClearWeakRefs((PyObject *)self);"
        )
        definition = (
            rf"(\b{dealloc}\(\w+ \*self\)\s*\{{(?:(?!\n\}}).)*?\bPyObject_GC_UnTrack\(self\);)"
        )
        text, told = re.subn(definition, rf"\1 {cleared}", text, flags=re.DOTALL)
        if told != 1:
            raise Unpatched(WEAK, f"{dealloc} does not untrack its object once, but {told} times")
    if not needed:
        if visits or clears or types:
            raise Unpatched(WEAK, "the place for weak references is there on this Python, too")
    elif not types:
        raise Unpatched(WEAK, "no type has a tp_weaklistoffset")
    elif visits != len(types) or clears < len(types):
        raise Unpatched(WEAK, f"{len(types)} types, {visits} Py_VISIT and {clears} Py_CLEAR of it")
    return text


THROW = "throw"
#: How mypyc's runtime hands an exception on, and how this package has it do so.
THROW_THREE = "PyObject_CallFunctionObjArgs(_m, type, value, traceback, NULL)"
THROW_ONE = "PyObject_CallOneArg(_m, value)"


def patch_throw(text: str, runtime: Path) -> str:
    """Hand exceptions on to the coroutines that compiled ones wait for by `throw(error)` alone.

    mypyc 2.4 calls `throw(type, error, traceback)`. Since Python 3.12 that gives a
    DeprecationWarning at every cancellation and timeout, for a line of the application. mypyc
    includes its runtime as a file, so the patched file stands in the place of the `#include`.
    """
    source = runtime.read_text("utf-8")
    if source.count(THROW_THREE) != 1:
        raise Unpatched(THROW, f"{runtime.name} does not call throw() with three arguments")
    return text.replace(f"#include <{runtime.name}>", source.replace(THROW_THREE, THROW_ONE))


def patch_unit(sources: Iterable[Path], runtime: Path) -> None:
    """Apply all patches to the file that has the whole unit; the other files only load it."""
    include = f"#include <{runtime.name}>"
    units = [path for path in sources if include in path.read_text("utf-8")]
    if len(units) != 1:
        raise Unpatched(THROW, f"{len(units)} of the generated files have {include}")
    text = patch_weak_references(units[0].read_text("utf-8"), sys.version_info < (3, 12))
    units[0].write_text(patch_throw(text, runtime), "utf-8")


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
    sources = {Path(source) for extension in found for source in extension.sources}
    try:
        patch_unit(sources, Path(include_dir()) / "misc_ops.c")
    except Unpatched as error:
        sys.exit(str(error))
    return found


setup(ext_modules=extensions())
