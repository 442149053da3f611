"""Keeps the house rules that a machine can keep: who imports whom, how long, how begun.

Reads the sources by `ast` only, nothing is imported. Each rule is a function from a tree of files
to its violations; `test_rule_can_fail` shows each of them a made-up tree that breaks it.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterator

import pytest

from tests.tree import PACKAGE, ROOT

MAX_FILE = 600
MAX_FUNCTION = 60

# Who may import whom: a module imports what is above it, or in its own package. A name stands for
# the module or package and all below it, unless a longer name says otherwise.
LAYERS = (
    ("const", "date", "strict"),
    ("errors", "limits"),
    ("hpack", "settings", "headers", "budget", "priority"),
    ("h1.head", "h1.parse", "h1.lenient", "h1.body", "h1.target", "h2.frames", "h2.kinds"),
    ("h1.state", "h2.state"),
    ("core",),
    ("streams",),
    ("h1", "h2"),
    ("drive",),
    ("engine",),
    ("raw", "aio"),
    ("cli", "examples"),
)

# They choose the build and hand over to the rest; their own tests are in test_packaging.py.
OUTSIDE = {"", "_build", "__main__"}

# Programs as users write them: they know the public names and no others.
USERS = {"examples"}
PUBLIC = {"", "raw", "hpack"}

# What needs more than the engine's two small packages, and what it may need.
THIRD_PARTY = {"mypy_extensions", "librt"}
ADAPTERS = {
    "cli": {"click", "rich", "trustme", "uvloop"},
    "examples": {"wsproto"},
}

# Every type checker brings it along; so it may be imported where only a type checker looks.
TYPES_ONLY = {"typing_extensions"}

# The engine does no I/O and waits for nobody.
SANS_IO = {"asyncio", "concurrent", "selectors", "socket", "ssl", "subprocess", "threading"}
DOES_IO = {"aio", *ADAPTERS}

Tree = dict[str, str]  # path from the root, with slashes -> text
Rule = Callable[[Tree], list[str]]


def real_tree() -> Tree:
    """The sources as they are, whichever build is under test."""
    found = {f"cno/{path.relative_to(PACKAGE).as_posix()}": path for path in PACKAGE.rglob("*.py")}
    for folder in ("tests", "benchmarks", "stubs", ".ci"):
        for path in ROOT.joinpath(folder).rglob("*"):
            found[path.relative_to(ROOT).as_posix()] = path
    for pattern in ("*.py", "*.md", "*.toml", "*.ini", "*.in"):
        found |= {path.name: path for path in ROOT.glob(pattern)}
    kinds = {".py", ".pyi", ".md", ".toml", ".ini", ".in", ""}
    hidden = re.compile(r"__pycache__|\.\w+_cache|\.hypothesis")
    return {
        name: path.read_text("utf-8")
        for name, path in sorted(found.items())
        if path.is_file() and path.suffix in kinds and not hidden.search(name)
    }


def python_files(tree: Tree, below: str = "") -> Iterator[tuple[str, ast.Module]]:
    for name, text in tree.items():
        if name.startswith(below) and name.endswith(".py"):
            yield name, ast.parse(text, name)


# -- imports -----------------------------------------------------------------------------------


def modules(tree: Tree) -> dict[str, tuple[str, ast.Module]]:
    """The package's modules by their name below `cno` ('' itself): the path and the syntax."""
    found = {}
    for path, syntax in python_files(tree, "cno/"):
        name = path.removeprefix("cno/").removesuffix(".py").replace("/", ".")
        found[re.sub(r"(^|\.)__init__$", "", name)] = (path, syntax)
    return found


def imported(node: ast.AST, path: str, known: set[str]) -> Iterator[tuple[str, int]]:
    """The modules that one node imports, by full name, with their lines."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = path.removesuffix(".py").split("/")[: -node.level]
            base = ".".join([*package, base] if base else package)
        for alias in node.names:
            whole = f"{base}.{alias.name}"
            is_module = whole.startswith("cno.") and whole.removeprefix("cno.") in known
            yield (whole if is_module else base), node.lineno


def inside(name: str) -> str | None:
    """The name below `cno`, or None for a module of others."""
    return name.removeprefix("cno").removeprefix(".") if name.partition(".")[0] == "cno" else None


def rank(name: str) -> int | None:
    """The layer of a module, by the longest name that covers it."""
    best: tuple[int, int] | None = None
    for number, layer in enumerate(LAYERS):
        for prefix in layer:
            covers = name == prefix or name.startswith(prefix + ".")
            if covers and (best is None or len(prefix) > best[0]):
                best = (len(prefix), number)
    return None if best is None else best[1]


def package_of(name: str) -> str:
    return name.partition(".")[0]


def imports_point_up(tree: Tree) -> list[str]:
    """A module imports only layers above its own, and its own package."""
    known = modules(tree)
    problems = []
    for name, (path, syntax) in known.items():
        if name in OUTSIDE:
            continue
        own = rank(name)
        if own is None:
            problems.append(f"{path}: has no place in LAYERS, give it one")
            continue
        for node in ast.walk(syntax):
            for whole, line in imported(node, path, set(known)):
                target = inside(whole)
                if target is None or (target == "_build" and package_of(name) in DOES_IO):
                    continue
                if package_of(name) in USERS:
                    if target not in PUBLIC:
                        problems.append(f"{path}:{line}: cno.{target} is not for users")
                    continue
                theirs = rank(target)
                if theirs is None:
                    problems.append(f"{path}:{line}: imports cno.{target}, which is no layer")
                elif theirs > own or (theirs == own and package_of(target) != package_of(name)):
                    problems.append(f"{path}:{line}: {name} must not know {target}")
    return problems


def shared_packages_are_empty(tree: Tree) -> list[str]:
    """h1 and h2 hold leaves that lower layers import; so the packages themselves import nothing."""
    return [
        f"{path}: leaves of this package are imported from below, so it must import nothing"
        for name, (path, syntax) in modules(tree).items()
        if name in ("h1", "h2")
        and any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(syntax))
    ]


def no_import_cycles(tree: Tree) -> list[str]:
    """No cycle of modules that import each other when loaded."""
    known = modules(tree)
    edges = {
        name: {
            target
            for node in syntax.body
            for whole, _ in imported(node, path, set(known))
            if (target := inside(whole)) and target in known and target != name
        }
        for name, (path, syntax) in known.items()
        if name not in OUTSIDE
    }
    # Take away, again and again, what imports nothing that is left, or is imported by nothing left.
    while done := {
        name
        for name, targets in edges.items()
        if not targets & edges.keys() or not any(name in others for others in edges.values())
    }:
        edges = {name: targets for name, targets in edges.items() if name not in done}
    return [
        f"{known[name][0]}: imports in a circle, with {sorted(targets & edges.keys())}"
        for name, targets in edges.items()
    ]


def no_third_party(tree: Tree) -> list[str]:
    """Only the standard library and two small packages; adapters also what they adapt."""
    known = modules(tree)
    problems = []
    for name, (path, syntax) in known.items():
        allowed = THIRD_PARTY | ADAPTERS.get(package_of(name), set()) | {"cno"}
        unseen = lines_for_type_checkers(syntax)
        for node in ast.walk(syntax):
            for whole, line in imported(node, path, set(known)):
                top = whole.partition(".")[0]
                if top in TYPES_ONLY and line in unseen:
                    continue
                if top not in allowed and top not in sys.stdlib_module_names:
                    problems.append(f"{path}:{line}: imports {top}")
    return problems


def lines_for_type_checkers(syntax: ast.Module) -> set[int]:
    """The lines under `if TYPE_CHECKING:` that never run."""
    return {
        line
        for node in ast.walk(syntax)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for each in node.body
        for line in range(each.lineno, (each.end_lineno or each.lineno) + 1)
    }


def no_io_in_the_engine(tree: Tree) -> list[str]:
    """Below the asyncio layer nothing knows of sockets, loops or threads."""
    known = modules(tree)
    return [
        f"{path}:{line}: the engine imports {whole}"
        for name, (path, syntax) in known.items()
        if name not in OUTSIDE and package_of(name) not in DOES_IO
        for node in ast.walk(syntax)
        for whole, line in imported(node, path, set(known))
        if whole.partition(".")[0] in SANS_IO
    ]


# -- size and form -----------------------------------------------------------------------------


def short_files(tree: Tree) -> list[str]:
    return [
        f"{name}: {lines} lines, more than {MAX_FILE}"
        for name, text in tree.items()
        if name.startswith("cno/") and (lines := len(text.splitlines())) > MAX_FILE
    ]


def short_functions(tree: Tree) -> list[str]:
    return [
        f"{name}:{node.lineno}: {node.name} has {lines} lines, more than {MAX_FUNCTION}"
        for name, syntax in python_files(tree, "cno/")
        for node in ast.walk(syntax)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION
    ]


def opens_with_contract(tree: Tree) -> list[str]:
    """Every file says what it knows; but for a folder of tests, whose __init__.py may be empty."""
    return [
        f"{name}: does not open with a docstring"
        for name, syntax in python_files(tree)
        if not ast.get_docstring(syntax) and (tree[name].strip() or not name.startswith("tests/"))
    ]


# Folders that are somebody's, not everybody's.
PRIVATE = re.compile(r"(?<![\w.:])/(?:home|root|work|tmp|mnt|Users|opt)/\w|\b[A-Z]:\\\\?Users")


def no_private_paths(tree: Tree) -> list[str]:
    return [
        f"{name}:{number}: names a folder of somebody's machine"
        for name, text in tree.items()
        for number, line in enumerate(text.splitlines(), 1)
        if PRIVATE.search(line)
    ]


DIRECTIVE = re.compile(
    r"#\s*(?:type:\s*ignore|pyright:\s*ignore|noqa|pragma:|mypy:|ruff:)"
    r"(?:\[[^\]]*\]|:?\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*|\s*no cover)?"
)


def ignores_say_why(tree: Tree) -> list[str]:
    """A comment that silences a tool says why, behind it or on a line of comment above."""
    problems = []
    for name, text in tree.items():
        if not name.endswith(".py") or not DIRECTIVE.search(text):
            continue
        lines = text.splitlines()
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type != tokenize.COMMENT or not DIRECTIVE.match(token.string):
                continue
            number = token.start[0]
            above = lines[number - 2].strip() if number > 1 else ""
            if not re.search(r"\w{2}", DIRECTIVE.sub("", token.string)) and above[:1] != "#":
                problems.append(f"{name}:{number}: silences a tool without saying why")
    return problems


def exceptions_have_names_of_their_own(tree: Tree) -> list[str]:
    """In a function, a name is that of exceptions of one type.

    mypyc gives the variable the type of the first handler. Where another handler binds it to an
    exception of another type, compiled code raises TypeError instead.
    """
    problems = []
    for name, syntax in python_files(tree, "cno/"):
        for function in ast.walk(syntax):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            caught: dict[str, str] = {}
            for node in ast.walk(function):
                if isinstance(node, ast.ExceptHandler) and node.name and node.type:
                    types = ast.unparse(node.type)
                    if caught.setdefault(node.name, types) != types:
                        problems.append(f"{name}:{node.lineno}: {node.name} is also {types}")
    return problems


RULES: list[Rule] = [
    imports_point_up,
    shared_packages_are_empty,
    no_import_cycles,
    no_third_party,
    no_io_in_the_engine,
    short_files,
    short_functions,
    opens_with_contract,
    no_private_paths,
    ignores_say_why,
    exceptions_have_names_of_their_own,
]


@pytest.fixture(scope="module")
def tree() -> Tree:
    return real_tree()


def test_the_tree_is_seen(tree: Tree) -> None:
    assert {"cno/__init__.py", "cno/const.py", "tests/test_structure.py", "setup.py"} <= set(tree)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule(rule: Rule, tree: Tree) -> None:
    problems = rule(tree)
    assert not problems, "\n" + "\n".join(problems)


# -- the rules themselves ------------------------------------------------------------------------

DOC = '"""What it knows."""\n'
SOUND = {
    "cno/__init__.py": DOC + "from cno.aio import serve\n",
    "cno/_build.py": DOC,
    "cno/const.py": DOC + "import enum\n",
    "cno/errors.py": DOC + "from cno.const import OK\n",
    "cno/hpack/__init__.py": DOC + "from cno.hpack.tables import T\n",
    "cno/hpack/tables.py": DOC + "from librt.strings import BytesWriter\n",
    "cno/h1/__init__.py": DOC,
    "cno/h1/parse.py": DOC + "from cno import const\n",
    "cno/h1/recv.py": DOC + "from cno.core import Core\nfrom cno.h1 import parse\n",
    "cno/h2/__init__.py": DOC,
    "cno/h2/recv.py": DOC + "from cno.core import Core\nfrom . import send\n",
    "cno/h2/send.py": DOC + "x = 1  # type: ignore[misc]  # a bug of the checker\n",
    "cno/core.py": DOC + "from cno.h1.parse import HEAD\n",
    "cno/engine.py": DOC + "import cno.h1.recv\nimport cno.h2.recv\n",
    "cno/aio/__init__.py": DOC + "import asyncio\nfrom cno._build import describe\n",
    "cno/cli/__init__.py": DOC + "import click\nfrom cno.aio import serve\n",
    "cno/headers.py": DOC,
    "cno/raw.py": DOC + "from cno.engine import E\n",
    "cno/examples/proxy.py": DOC + "import cno\nfrom cno import raw\n",
    "tests/test_any.py": DOC + "import hpack\n",
}

LONG = "def f():\n" + "    x = 1\n" * MAX_FUNCTION
TWO_TYPES = """
async def f():
    try:
        await g()
    except (OSError, ValueError) as error:
        h(error)
    except Exception as error:
        h(error)
"""
BROKEN: list[tuple[Rule, str, str]] = [
    (imports_point_up, "cno/h1/recv.py", "from cno.h2 import recv\n"),
    (imports_point_up, "cno/h2/recv.py", "import cno.h1.recv\n"),
    (imports_point_up, "cno/h1/recv.py", "from ..h2 import recv\n"),
    (imports_point_up, "cno/h1/parse.py", "from cno.core import Core\n"),
    (imports_point_up, "cno/hpack/tables.py", "def f():\n    from cno.core import Core\n"),
    (imports_point_up, "cno/hpack/tables.py", "from cno import headers\n"),
    (imports_point_up, "cno/core.py", "from cno.h1.recv import state\n"),
    (imports_point_up, "cno/engine.py", "from cno.aio import serve\n"),
    (imports_point_up, "cno/engine.py", "import cno\n"),
    (imports_point_up, "cno/engine.py", "from cno._build import describe\n"),
    (imports_point_up, "cno/aio/__init__.py", "from cno.cli import main\n"),
    (imports_point_up, "cno/utilities.py", ""),
    (imports_point_up, "cno/examples/proxy.py", "from cno.engine import E\n"),
    (shared_packages_are_empty, "cno/h1/__init__.py", "from cno.h1.recv import state\n"),
    (no_import_cycles, "cno/h2/send.py", "from cno.h2.recv import state\n"),
    (no_third_party, "cno/engine.py", "import h2.connection\n"),
    (no_third_party, "cno/aio/__init__.py", "from uvloop import Loop\n"),
    (no_third_party, "cno/engine.py", "from typing_extensions import override\n"),
    (no_io_in_the_engine, "cno/engine.py", "import asyncio.streams\n"),
    (no_io_in_the_engine, "cno/raw.py", "from socket import socket\n"),
    (short_files, "cno/core.py", "x = 1\n" * MAX_FILE),
    (short_functions, "cno/core.py", LONG),
    (short_functions, "cno/core.py", "class C:\n" + LONG.replace("def", " async def", 1)),
    (no_private_paths, "tests/test_any.py", "x = '/{}/someone'\n".format("home")),
    (ignores_say_why, "cno/core.py", "x = 1  # type: ignore[misc]\n"),
    (ignores_say_why, "cno/core.py", "x = 1  # noqa: E501\n"),
    (exceptions_have_names_of_their_own, "cno/core.py", TWO_TYPES),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_accepts_a_sound_tree(rule: Rule) -> None:
    assert rule(SOUND) == []


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN)
def test_rule_can_fail(rule: Rule, path: str, text: str) -> None:
    problems = rule(SOUND | {path: DOC + text})
    assert any(problem.startswith(path) for problem in problems)


def test_missing_docstring_is_found() -> None:
    assert opens_with_contract({"cno/core.py": "# no contract\nx = 1\n"}) != []


def test_every_rule_is_shown_failing() -> None:
    assert {rule for rule, _, _ in BROKEN} | {opens_with_contract} == set(RULES)
