"""Build the package: compiled by mypyc into one compilation unit, or as plain Python.

`CNO_BUILD=mypyc`, the default, needs a C compiler. `CNO_BUILD=pure` needs none and builds a wheel
for any platform. `CNO_OPT=1` takes two thirds of the build time for code that is a tenth slower.
The package's name, dependencies and contents are in pyproject.toml.
"""

import ast
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
    "cno/_sources.py": "reads sources, for `help` and `inspect` only",
    "cno/_description.py": "as cno/_sources.py",
    "cno/aio/__init__.py": "imports names on demand, by a function of the module",
    "cno/aio/public.py": "as cno/_sources.py",
    "cno/enums.py": "mypyc gives enumerations no docstrings",
    "cno/timeouts.py": "mypyc compiles no dataclass whose fields are keywords",
    "cno/settings_dict.py": "as cno/enums.py, and no annotations",
    "cno/errors.py": "compiled code does not recognise an application's subclass of such a class",
    "cno/hpack/errors.py": "as cno/errors.py",
    "cno/aio/errors.py": "as cno/errors.py",
    "cno/asgi/errors.py": "as cno/errors.py",
    "cno/websocket/errors.py": "as cno/errors.py",
    "cno/adapters/errors.py": "as cno/errors.py",
    "cno/sync/errors.py": "as cno/errors.py",
    "cno/sync/upgrade_refused.py": "as cno/errors.py",
    "cno/adapters/arguments.py": "as cno/httpx.py",
    "cno/adapters/responses.py": "as cno/httpx.py",
    "cno/adapters/response_headers.py": "as cno/httpx.py",
    "cno/httpx.py": "its classes derive from httpx's, which need not be there to build",
    "cno/httpx2.py": "as cno/httpx.py",
    "cno/requests.py": "its classes derive from those of requests and urllib3",
    "cno/aio/channel.py": "as cno/errors.py",
    "cno/aio/client/upgrade_refused.py": "as cno/errors.py",
    "cno/aio/coroutine_functions.py": "only the code of interpreted functions has flags",
    "cno/aio/forwarding.py": "as cno/aio/serving.py",
    "cno/aio/client/traced.py": "a base class that goes before compiled ones",
    "cno/aio/server/traced.py": "as cno/aio/client/traced.py",
    "cno/stats.py": "mypyc compiles no dataclass with slots",
    "cno/aio/client/requesting.py": "as cno/aio/serving.py, and as cno/aio/coroutine_functions.py",
    "cno/aio/running.py": "as cno/aio/serving.py",
    "cno/aio/serving.py": "a compiled function that is no coroutine function has no annotations",
    "cno/aio/stacks.py": "looks into compiled coroutines, as nothing compiled could",
    "cno/workers/": "processes and signals: nothing there is hot",
    "cno/asgi/__init__.py": "imports `run` on demand, by a function of the module",
    "cno/asgi/server/": "as cno/workers/; a dataclass describes its options to click",
    "cno/prometheus.py": "derives from a class of prometheus_client's",
    "cno/gunicorn.py": "derives from a class of gunicorn's",
    "cno/django/": "as cno/gunicorn.py, of Django's",
    "cno/testing.py": "nothing there is hot",
    "cno/trace/": "nothing there is hot; a base class that goes before compiled ones",
    "cno/cli/": "click looks into the functions it is given, and nothing there is hot",
    "cno/examples/": "to be read and copied",
}

# The commands that turn sources into extensions; others (metadata, sdist) need not wait for mypyc.
BUILDS = {"bdist_wheel", "build", "build_ext", "editable_wheel", "install"}

# Found in CI, under the one Python and mypy it runs; never a reason to refuse a user's build.
WARNINGS_OFF = ["--no-warn-unused-ignores", "--no-warn-unreachable", "--no-warn-redundant-casts"]
# Warnings of C compilers that mypyc does not know are not errors. GCC's check of the indentation
# takes a third of the build, because the generated file is large.
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
        except Exception as error:  # each compiler class raises different errors
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

#: Where such a function begins to free its object.
UNTRACK = "PyObject_GC_UnTrack(self);"


def end_of_block(text: str, begin: int) -> int:
    """Return where the block of C ends whose first brace is before `begin`."""
    depth = 1
    for brace in re.compile("[{}]").finditer(text, begin):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.start()
    return len(text)


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
        # Found by the name: a pattern that begins with `\b` takes half a minute for this text.
        begins = [
            at.end()
            for at in re.finditer(rf"{dealloc}\(\w+ \*self\)\s*\{{", text)
            if text[at.start() - 1].isspace()
        ]
        told = sum(text.count(UNTRACK, begin, end_of_block(text, begin)) for begin in begins)
        if told != 1:
            raise Unpatched(WEAK, f"{dealloc} does not untrack its object once, but {told} times")
        at = text.index(UNTRACK, begins[0]) + len(UNTRACK)
        text = f"{text[:at]} {cleared}{text[at:]}"
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
    # mypyc's indentation grows with every module, to most of the file's size.
    text = "\n".join(line.lstrip(" ") for line in units[0].read_text("utf-8").split("\n"))
    text = patch_weak_references(text, sys.version_info < (3, 12))
    units[0].write_text(patch_throw(text, runtime), "utf-8")


HELP = "help"
# A string of C, or none.
DOC = r'NULL|"(?:[^"\\]|\\.)*"'
#: Where mypyc names a method or function, a class, and a property without a setter. Each pattern
#: gives the C name, and what stands where the docstring belongs: a signature or nothing.
DOCUMENTED = (
    rf"\(PyCFunction\)CPyPy_(\w+),\s+METH_FASTCALL \| METH_KEYWORDS, PyDoc_STR\(({DOC})\)",
    rf"CPyType_(\w+)_template_ = {{[^}}]*?\.tp_doc = PyDoc_STR\(({DOC})\)",
    r"\(getter\)(\w+),\s+NULL, (NULL), NULL}",
)
#: Parts of mypyc's runtime, and their replacements. `inspect` follows `__wrapped__` to the function
#: of the sources.
FUNCTION_NAME = "(getter)CPyFunction_get_name, (setter)CPyFunction_set_name"
FUNCTION_ANNOTATIONS = (
    '{"__annotations__", (getter)CPyFunction_get_annotations, CPyFunction_set_annotations, 0, 0},'
)
FUNCTION_ATTRIBUTES = """
    {"__annotations__", (getter)cno_of_source, 0, 0, "__annotations__"},
    {"__wrapped__", (getter)cno_of_source, 0, 0, NULL},
    {"__doc__", (getter)cno_doc, 0, 0, NULL},
    {"__qualname__", (getter)cno_qualname, 0, 0, NULL},
    {"__objclass__", (getter)cno_class, 0, 0, NULL},
"""
FUNCTION_TABLE = "static PyGetSetDef CPyFunction_getsets[] = {"
#: Such functions take `self` as their first argument, with no bound method made for each call.
FUNCTION_FLAGS = "Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DEFAULT"
FUNCTION_SLOTS = "{Py_tp_getset, (void *)CPyFunction_getsets},"
#: `Class.method()` without `self` would read what is no argument.
FUNCTION_SELF = "self = args[0];"
FUNCTION_CHECK = """if (nargs == 0) {
            PyErr_SetString(PyExc_TypeError, "missing required argument 'self' (pos 1)");
            return NULL;
        }
        self = args[0];"""
FUNCTION_GETTERS = r"""
static PyObject *cno_doc(PyObject *op, void *context) {
    const char *doc = ((PyCFunctionObject *)op)->m_ml->ml_doc;
    const char *end = doc ? strstr(doc, "\n--\n\n") : NULL;
    if (end) doc = end + 5;
    if (!doc || !*doc) Py_RETURN_NONE;
    return PyUnicode_FromString(doc);
}

static PyObject *cno_qualname(PyObject *op, void *context) {
    return PyUnicode_FromString(((PyCFunctionObject *)op)->m_ml->ml_name);
}

static PyObject *cno_name(PyObject *op, void *context) {
    const char *name = ((PyCFunctionObject *)op)->m_ml->ml_name;
    const char *dot = strrchr(name, '.');
    return PyUnicode_FromString(dot ? dot + 1 : name);
}

/* `inspect.getdoc` looks for inherited docstrings in its bases. */
static PyObject *cno_class(PyObject *op, void *context) {
    PyTypeObject *cls = ((PyCMethodObject *)op)->mm_class;
    if (cls) return Py_NewRef((PyObject *)cls);
    PyErr_SetString(PyExc_AttributeError, "__objclass__");
    return NULL;
}

static PyObject *cno_of_source(PyObject *op, void *attribute) {
    PyObject *module = PyImport_ImportModule("cno._sources");
    if (!module) return NULL;
    PyObject *found = PyObject_CallMethod(module, "function_of", "O", op);
    Py_DECREF(module);
    if (!found || !attribute) return found;
    PyObject *value = PyObject_GetAttrString(found, (const char *)attribute);
    Py_DECREF(found);
    return value;
}

static PyObject *cno_of_method(PyObject *cls, PyObject *args) {
    PyObject *method;
    int code_flags;
    if (!PyArg_ParseTuple(args, "Oi", &method, &code_flags)) return NULL;
    if (!Py_IS_TYPE(method, &PyMethodDescr_Type)) Py_RETURN_NONE;
    PyMethodDef *old = ((PyMethodDescrObject *)method)->d_method;
    if (old->ml_flags != (METH_FASTCALL | METH_KEYWORDS)) Py_RETURN_NONE;
    PyObject *qualname = PyObject_GetAttrString(method, "__qualname__");
    if (!qualname) return NULL;
    const char *name = PyUnicode_AsUTF8(qualname);
    /* As long as the class, that is until the end. */
    char *kept = name ? PyMem_Malloc(strlen(name) + 1) : NULL;
    PyObject *made = NULL;
    if (kept) {
        strcpy(kept, name);
        made = CPyFunction_New(NULL, "", kept, old->ml_meth, old->ml_flags, old->ml_doc,
                               0, code_flags, true);
        if (made) {
            PyTypeObject *owner = ((PyDescrObject *)method)->d_type;
            ((PyCMethodObject *)made)->mm_class = (PyTypeObject *)Py_NewRef((PyObject *)owner);
        }
    } else if (name) {
        PyErr_NoMemory();
    }
    Py_DECREF(qualname);
    return made;
}

static PyMethodDef cno_function_methods[] = {
    {"of_method", cno_of_method, METH_VARARGS | METH_CLASS,
     PyDoc_STR("Return a function with annotations for a method of a compiled class, or None.")},
    {NULL, NULL, 0, NULL},
};
"""


def docstrings(modules: Iterable[str]) -> dict[str, str]:
    """Return the docstrings of these modules, by each C name that mypyc may derive from theirs."""
    found: dict[str, str] = {}
    for module in modules:
        parts = module.removesuffix(".py").removesuffix("/__init__").split("/")
        prefixes = ["", *("___".join(parts[i:]) + "___" for i in range(len(parts)))]
        tree = ast.parse(ROOT.joinpath(module).read_text("utf-8"))
        named: list[tuple[str, ast.AST]] = [("", each) for each in tree.body]
        for each in tree.body:
            if isinstance(each, ast.ClassDef):
                named += [(each.name, member) for member in each.body]
        for owner, node in named:
            if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            doc = ast.get_docstring(node)
            if doc is not None:
                for prefix in prefixes:
                    found[prefix + (f"{owner}___" if owner else "") + node.name] = doc
                    found[f"{prefix}{owner}_get_{node.name}"] = doc  # the getter of a property
    return found


def c_string(text: str) -> str:
    """Return a string literal of C."""
    codes = text.encode()
    plain = [chr(c) if 32 <= c < 127 and c not in b'"\\?' else f"\\{c:03o}" for c in codes]
    return '"' + "".join(plain) + '"'


def patch_docstrings(text: str, docs: dict[str, str]) -> str:
    """Add the docstrings of the sources. mypyc 2.4 writes signatures without annotations only."""

    def document(match: re.Match[str]) -> str:
        doc = docs.get(match[1])
        if doc is None:
            return match[0]
        start, end = match.start(2) - match.start(), match.end(2) - match.start()
        signature = "" if match[2] == "NULL" else match[2]  # C joins literals that are neighbours
        return f"{match[0][:start]}{signature} {c_string(doc)}{match[0][end:]}"

    for pattern in DOCUMENTED:
        text, count = re.subn(pattern, document, text)
        if count == 0:
            raise Unpatched(HELP, f"nothing matches {pattern}")
    return text


def patch_functions(text: str, runtime: Path) -> str:
    """Give coroutine functions the names, docstring and annotations of their source.

    mypyc 2.4 gives their types no way to see them: `inspect.signature` finds no parameters, and
    `__doc__` is None. `of_method` makes such a function of any other method, for whose annotations
    Python's own method descriptors have no place.
    """
    source = runtime.read_text("utf-8")
    for old, new in (
        (FUNCTION_TABLE, FUNCTION_GETTERS + FUNCTION_TABLE),
        (FUNCTION_ANNOTATIONS, FUNCTION_ATTRIBUTES),
        (FUNCTION_NAME, "(getter)cno_name, 0"),
        (FUNCTION_FLAGS, f"Py_TPFLAGS_METHOD_DESCRIPTOR | {FUNCTION_FLAGS}"),
        (FUNCTION_SLOTS, "{Py_tp_methods, (void *)cno_function_methods}, " + FUNCTION_SLOTS),
        (FUNCTION_SELF, FUNCTION_CHECK),
    ):
        if source.count(old) != 1:
            raise Unpatched(HELP, f"{runtime.name} does not have {old!r} once")
        source = source.replace(old, new)
    return text.replace(f"#include <{runtime.name}>", source)


def patch_help(sources: Iterable[Path], runtime: Path, docs: dict[str, str]) -> None:
    """Let `help` and `inspect` find in compiled code what they find in the sources."""
    include = f"#include <{runtime.name}>"
    units = [path for path in sources if include in path.read_text("utf-8")]
    if len(units) != 1:
        raise Unpatched(HELP, f"{len(units)} of the generated files have {include}")
    text = patch_docstrings(units[0].read_text("utf-8"), docs)
    units[0].write_text(patch_functions(text, runtime), "utf-8")


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
            # Assertions, which CNO_OPT=0 leaves in, name their file: not by the path of this build.
            runtime_path = f"-ffile-prefix-map={include_dir()}=mypyc/lib-rt"
            more = ["-fvisibility=hidden", runtime_path, *C_WARNINGS_OFF]
            extension.extra_compile_args = [*extension.extra_compile_args, *more]
    sources = {Path(source) for extension in found for source in extension.sources}
    try:
        patch_unit(sources, Path(include_dir()) / "misc_ops.c")
        runtime = Path(include_dir()) / "function_wrapper.c"
        patch_help(sources, runtime, docstrings(compiled_modules()))
    except Unpatched as error:
        sys.exit(str(error))
    return found


setup(ext_modules=extensions())
