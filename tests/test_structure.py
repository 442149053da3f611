"""The rules of CONTRIBUTING.md that a machine can check: imports, sizes, fields, docstrings.

The test reads the sources by `ast` and imports nothing of them. Each rule is a function from a tree
of files to its violations. `test_rule_can_fail` shows each rule a made-up tree that breaks it.
Exceptions are listed in `structure.py`, by name and figure: a figure may fall, never rise, and an
exception that is not needed any more has to go.
"""

import ast
import io
import re
import sys
import tokenize
from collections import defaultdict
from collections.abc import Callable, Container, Iterator
from functools import cache
from typing import NamedTuple

import pytest

from tests import structure
from tests.structure import LAYERS
from tests.tree import PACKAGE, ROOT

MAX_FILE = 600
MAX_FUNCTION = 60
# Of a class: lines of code, lines of docstrings and comments, fields.
MAX_CLASS = 300
MAX_PROSE = 120
MAX_FIELDS = 30
# Of an object of the asyncio layer, the engine's state in it counted; its parts are other objects.
MAX_ALL_FIELDS = 60

# They choose the build and hand over to the rest; their own tests are in test_packaging.py.
OUTSIDE = {"", "_build", "_description", "_sources", "__main__"}

# Programs as users write them: they know the public names and no others.
USERS = {"examples"}
PUBLIC = {"", "raw", "hpack", "websocket"}

# What needs more than the engine's two small packages, and what it may need.
THIRD_PARTY = {"mypy_extensions", "librt"}
ADAPTERS = {
    "adapters": {"socksio"},
    "asgi": {"dotenv"},
    "django": {"django"},
    "gunicorn": {"gunicorn"},
    "prometheus": {"prometheus_client"},
    "httpx": {"httpx", "httpx2"},
    "httpx2": {"httpx2"},
    "requests": {"requests", "urllib3"},
    "workers": {"watchfiles"},
    "cli": {"click", "markdown_it", "rich", "segno", "trustme", "watchfiles"},
    "examples": set(),
}

# Every type checker brings it along; so it may be imported where only a type checker looks.
TYPES_ONLY = {"typing_extensions"}

# The engine does no I/O and waits for nobody.
SANS_IO = {"asyncio", "concurrent", "selectors", "socket", "ssl", "subprocess", "threading"}
DOES_IO = {"aio", "sync", "trace", "websocket", "asgi", "uvicorn", "testing", *ADAPTERS}

Tree = dict[str, str]  # path from the root, with slashes -> text
Rule = Callable[[Tree], list[str]]


def real_tree() -> Tree:
    """The sources as they are, whichever build is under test."""
    found = {f"cno/{path.relative_to(PACKAGE).as_posix()}": path for path in PACKAGE.rglob("*.py")}
    for folder in ("tests", "benchmarks", "docs", "stubs", ".ci", ".github"):
        for path in ROOT.joinpath(folder).rglob("*"):
            found[path.relative_to(ROOT).as_posix()] = path
    for pattern in ("*.py", "*.md", "*.toml", "*.ini", "*.in", "*.yaml"):
        found |= {path.name: path for path in ROOT.glob(pattern)}
    kinds = {".py", ".pyi", ".md", ".toml", ".ini", ".in", ".yml", ".yaml", ""}
    hidden = re.compile(r"__pycache__|\.\w+_cache|\.hypothesis")
    return {
        name: path.read_text("utf-8")
        for name, path in sorted(found.items())
        if path.is_file() and path.suffix in kinds and not hidden.search(name)
    }


@cache
def parsed(text: str, name: str) -> ast.Module:
    return ast.parse(text, name)


def python_files(tree: Tree, below: str = "") -> Iterator[tuple[str, ast.Module]]:
    for name, text in tree.items():
        if name.startswith(below) and name.endswith(".py"):
            yield name, parsed(text, name)


# -- imports -----------------------------------------------------------------------------------


def modules(tree: Tree) -> dict[str, tuple[str, ast.Module]]:
    """The package's modules by their name below `cno` ('' itself): the path and the syntax."""
    found = {}
    for path, syntax in python_files(tree, "cno/"):
        name = path.removeprefix("cno/").removesuffix(".py").replace("/", ".")
        found[re.sub(r"(^|\.)__init__$", "", name)] = (path, syntax)
    return found


def imported(node: ast.AST, path: str, known: Container[str]) -> Iterator[tuple[str, int]]:
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


def layer(name: str) -> tuple[int, str] | None:
    """The number of a module's layer, and its part of it: the longest name that covers it."""
    best: tuple[int, str] | None = None
    for number, parts in enumerate(LAYERS):
        for part in parts:
            covers = name == part or name.startswith(part if part.endswith(".") else part + ".")
            if covers and (best is None or len(part) > len(best[1])):
                best = (number, part)
    return best


def package_of(name: str) -> str:
    return name.partition(".")[0]


def imports_point_up(tree: Tree) -> list[str]:
    """A module imports only layers above its own, and its own part of its layer."""
    known = modules(tree)
    problems = []
    for name, (path, syntax) in known.items():
        if name in OUTSIDE:
            continue
        own = layer(name)
        if own is None:
            problems.append(f"{path}: has no place in LAYERS, give it one")
            continue
        for node in ast.walk(syntax):
            for whole, line in imported(node, path, known):
                target = inside(whole)
                if target is None or target == "_description":
                    continue
                if target == "_build" and package_of(name) in DOES_IO:
                    continue
                if package_of(name) in USERS:
                    if target not in PUBLIC:
                        problems.append(f"{path}:{line}: cno.{target} is not for users")
                    continue
                theirs = layer(target)
                if theirs is None:
                    problems.append(f"{path}:{line}: imports cno.{target}, which is no layer")
                elif {name, target} <= structure.IN_A_CIRCLE:
                    continue
                elif theirs != own and theirs[0] >= own[0]:
                    problems.append(f"{path}:{line}: {name} must not know {target}, see LAYERS")
    return problems


def parts_have_places(tree: Tree) -> list[str]:
    """Each module of the asyncio layer has a place of its own in LAYERS, not that of a folder."""
    return [
        f"{path}: has no place of its own in LAYERS, give it one"
        for name, (path, _) in modules(tree).items()
        if package_of(name) == "aio" and (own := layer(name)) and own[1] != name
    ]


def shared_packages_are_empty(tree: Tree) -> list[str]:
    """Packages whose modules belong to several layers import nothing themselves."""
    return [
        f"{path}: leaves of this package are imported from below, so it must import nothing"
        for name, (path, syntax) in modules(tree).items()
        if name in ("h1", "h2", "aio.client", "aio.connection", "aio.server")
        and any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(syntax))
    ]


def reached(edges: dict[str, set[str]], start: str) -> set[str]:
    """What `start` imports, and what that imports, and so on."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        todo += (new := edges[todo.pop()] - seen)
        seen |= new
    return seen


def modules_in_circles(tree: Tree) -> set[str]:
    """Modules that import themselves by way of others. An import for type checking only counts."""
    known = modules(tree)
    edges = {
        name: {
            target
            for node in ast.walk(syntax)
            for whole, _ in imported(node, path, known)
            if (target := inside(whole)) and target in known and target not in (name, *OUTSIDE)
        }
        for name, (path, syntax) in known.items()
        if name not in OUTSIDE
    }
    return {name for name in edges if name in reached(edges, name)}


def no_import_cycles(tree: Tree) -> list[str]:
    """No circle of modules that import each other, for type checking or in a function either."""
    known = modules(tree)
    return [
        f"{known[name][0]}: is in a circle of imports, but not in IN_A_CIRCLE of structure.py"
        for name in sorted(modules_in_circles(tree) - structure.IN_A_CIRCLE)
    ]


def no_third_party(tree: Tree) -> list[str]:
    """Only the standard library and two small packages; adapters also what they adapt."""
    known = modules(tree)
    problems = []
    for name, (path, syntax) in known.items():
        allowed = THIRD_PARTY | ADAPTERS.get(package_of(name), set()) | {"cno"}
        unseen = lines_for_type_checkers(syntax)
        for node in ast.walk(syntax):
            for whole, line in imported(node, path, known):
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
        for whole, line in imported(node, path, known)
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


def fields_of(node: ast.ClassDef) -> set[str]:
    """What a class declares: annotated in its body, or assigned to `self` in a method."""
    found = {
        each.target.id
        for each in node.body
        if isinstance(each, ast.AnnAssign)
        and isinstance(each.target, ast.Name)
        and "ClassVar" not in ast.unparse(each.annotation)
    }
    return found | {
        each.attr
        for method in node.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
        for each in ast.walk(method)
        if isinstance(each, ast.Attribute)
        and isinstance(each.ctx, ast.Store)
        and isinstance(each.value, ast.Name)
        and each.value.id == "self"
    }


class Size(NamedTuple):
    """Of a class with its bases in the package."""

    code: int  # lines
    fields: int
    prose: int = 0  # lines of docstrings and comments


def lines_of(node: ast.ClassDef, text: str) -> tuple[int, int]:
    """The lines of code of a class, and those of its docstrings and comments; none is blank."""
    documented = set[int]()
    for each in ast.walk(node):
        if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(each, clean=False) is not None:
                first = each.body[0]
                documented.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    code = prose = 0
    last = node.end_lineno or node.lineno
    for number, line in enumerate(text.splitlines()[node.lineno - 1 : last], node.lineno):
        if number in documented or line.lstrip().startswith("#"):
            prose += bool(line.strip())
        else:
            code += bool(line.strip())
    return code, prose


def classes(tree: Tree) -> dict[str, tuple[ast.ClassDef, str, dict[str, str]]]:
    """Classes by full name below `cno`: syntax, file, full names of what the module imports."""
    found = {}
    known = modules(tree)
    for name, (path, syntax) in known.items():
        names = {
            alias.asname or alias.name: f"{inside(node.module or '')}.{alias.name}"
            for node in ast.walk(syntax)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for node in syntax.body:
            if isinstance(node, ast.ClassDef):
                names[node.name] = f"{name}.{node.name}"
                found[names[node.name]] = (node, path, names)
    return found


def sizes(tree: Tree, apart: Container[str] = structure.COUNTED_APART) -> dict[str, Size]:
    """Every class of the package. What is counted apart adds nothing to what derives from it."""
    known = classes(tree)
    found = {}
    for name in known:
        if name in apart:
            continue
        code, prose, fields, todo = 0, 0, set[str](), [name]
        while todo:
            node, path, names = known[todo.pop()]
            more_code, more_prose = lines_of(node, tree[path])
            code, prose = code + more_code, prose + more_prose
            fields |= fields_of(node)
            bases = [names.get(base.id) for base in node.bases if isinstance(base, ast.Name)]
            todo += [b for b in bases if b in known and b not in apart]
        found[name] = Size(code, len(fields), prose)
    return found


def small_classes(tree: Tree) -> list[str]:
    """A class has at most 300 lines of code and 30 fields, its bases in the package counted.

    State and logic are what makes a class hard to change, so these are counted whole: signatures,
    short methods, whatever a base adds. Docstrings and comments have a bound of their own. They
    grow with what a method promises to its users; counted as code, they would only be cut.
    """
    problems = []
    known = classes(tree)
    for name, size in sorted(sizes(tree).items()):
        path = known[name][1]
        excepted = structure.LARGE_CLASSES.get(name, (0, 0, ""))
        most = Size(max(excepted[0], MAX_CLASS), max(excepted[1], MAX_FIELDS))
        if size.code > most.code:
            problems.append(f"{path}: {name} has {size.code} lines of code, {most.code} at most")
        if size.prose > MAX_PROSE:
            problems.append(f"{path}: {name} has {size.prose} lines of prose, {MAX_PROSE} at most")
        if size.fields > most.fields:
            problems.append(f"{path}: {name} has {size.fields} fields, {most.fields} at most")
    return problems


def small_objects(tree: Tree) -> list[str]:
    """An object of the asyncio layer has at most 60 fields, those of the engine counted."""
    problems = []
    known = classes(tree)
    for name, size in sorted(sizes(tree, ()).items()):
        if package_of(name) == "aio" and size.fields > MAX_ALL_FIELDS:
            path = known[name][1]
            problems.append(f"{path}: {name} has {size.fields} fields, {MAX_ALL_FIELDS} at most")
    return problems


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


# -- who writes what ---------------------------------------------------------------------------


def declared_fields(tree: Tree) -> dict[str, set[str]]:
    """The modules that declare a field, by its name."""
    found = defaultdict(set)
    for name, (node, _, _) in classes(tree).items():
        for field in fields_of(node):
            found[field].add(name.rpartition(".")[0])
    return found


def may_write(writer: str, declarer: str, field: str) -> bool:
    """Whether the list of writers allows this. All of `h1`, `h2`, … may write the records there."""
    if writer == declarer or (package_of(writer) == package_of(declarer) != "aio"):
        return True
    return any(
        declarer == theirs
        and any(f"{writer}.".startswith(f"{each}.") for each in writers)
        and (not fields or field in fields)
        for writers, theirs, fields, _ in structure.WRITERS
    )


def foreign_fields(tree: Tree) -> dict[str, dict[str, int]]:
    """By module: fields that others declare and that it writes all the same, with a line."""
    declared = declared_fields(tree)
    found: dict[str, dict[str, int]] = {}
    for name, (_, syntax) in modules(tree).items():
        own = layer(name)
        if own is None:
            continue
        written: dict[str, int] = {}
        for node in ast.walk(syntax):
            if not isinstance(node, ast.Attribute) or isinstance(node.ctx, ast.Load):
                continue
            # A module that it cannot know declares a field of the same name for something else.
            seen = {
                module
                for module in declared.get(node.attr, ())
                if (theirs := layer(module)) and (theirs[0] < own[0] or theirs == own)
            }
            if seen and not any(may_write(name, module, node.attr) for module in seen):
                written[node.attr] = node.lineno
        if written:
            found[name] = written
    return found


def fields_are_written_at_home(tree: Tree) -> list[str]:
    """A field is written by the module that declares it, or by those that are on a list."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, fields in foreign_fields(tree).items():
        path = modules(tree)[name][0]
        found[package_of(name)] += [
            f"{path}:{line}: writes {field}, which it does not declare"
            for field, line in fields.items()
        ]
    return [
        f"{problem} ({len(problems)} such fields in {package}, {most} at most)"
        for package, problems in found.items()
        if len(problems) > (most := structure.FOREIGN_WRITES.get(package, 0))
        for problem in problems
    ]


# -- what a module must never know ---------------------------------------------------------------

NEVER = re.compile(
    r"(?:[Mm]ust never know|[Kk]nows nothing of|[Nn]ever knows|[Kk]nows(?: [^.;]*?,? and)? no)"
    r" ([^.;:]*)"
)


# "what a request or a response is" names two things.
LISTED = re.compile(r",? n?or |, ")
ARTICLES = re.compile(r"^(?:what )?(?:an? |the |any )?| (?:is|are)$")


def imported_names(node: ast.AST) -> Iterator[tuple[str, int]]:
    """The single names that one node imports, and modules by the first part of their name."""
    if isinstance(node, ast.Import):
        yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield (node.module or "").partition(".")[0], node.lineno
        yield from ((alias.name, node.lineno) for alias in node.names)


def does_not_know_what_it_must_not(tree: Tree) -> list[str]:
    """A module does not import what its docstring says that it must never know."""
    problems = []
    for name, (path, syntax) in modules(tree).items():
        said = NEVER.findall((ast.get_docstring(syntax) or "").replace("\n", " "))
        items = {ARTICLES.sub("", item) for each in said for item in LISTED.split(each)}
        unknown = {each for item in items for each in structure.UNKNOWN.get(item, ())}
        for node in ast.walk(syntax):
            for whole, line in imported_names(node):
                if whole in unknown and (name, whole) not in structure.KNOWN_ALL_THE_SAME:
                    problems.append(f"{path}:{line}: imports {whole}, which it must never know")
    return problems


# Public by its name in spite of the underscore: methods of named tuples.
NAMED_TUPLE = {"_replace", "_asdict", "_fields", "_make", "_field_defaults"}


def no_private_names_of_others(tree: Tree) -> list[str]:
    """Private attributes of asyncio, of tasks, sockets, ... may change with every Python."""
    uses, own = [], set(NAMED_TUPLE)
    for path, syntax in python_files(tree, "cno/"):
        for node in ast.walk(syntax):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                own.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                own.add(node.id)
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self":
                if isinstance(node.ctx, ast.Store):
                    own.add(node.attr)
            elif isinstance(node, ast.Attribute):
                uses.append((path, node.lineno, node.attr))
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("attr"):
                named = [a for a in node.args[1:2] if isinstance(a, ast.Constant)]
                uses += [(path, node.lineno, a.value) for a in named if isinstance(a.value, str)]
    return [
        f"{path}:{line}: {name} is not ours"
        for path, line, name in uses
        if re.match(r"_[^_]", name) and name not in own and name not in structure.PRIVATE_NAMES
    ]


# -- the exceptions ------------------------------------------------------------------------------


def exceptions_are_needed(tree: Tree) -> list[str]:
    """Each exception is still needed by a module or class that is still there."""
    looped, measured, written = modules_in_circles(tree), sizes(tree), foreign_fields(tree)
    left = [f"IN_A_CIRCLE: {name} is in none" for name in structure.IN_A_CIRCLE - looped]
    for name in structure.LARGE_CLASSES:
        size = measured.get(name, Size(0, 0))
        if size.code <= MAX_CLASS and size.fields <= MAX_FIELDS:
            left.append(f"LARGE_CLASSES: {name} has {size.code} lines and {size.fields} fields")
    return left + [
        f"FOREIGN_WRITES: {name} writes no such field"
        for name in structure.FOREIGN_WRITES.keys() - {package_of(name) for name in written}
    ]


RULES: list[Rule] = [
    imports_point_up,
    parts_have_places,
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
    small_classes,
    small_objects,
    fields_are_written_at_home,
    does_not_know_what_it_must_not,
    no_private_names_of_others,
]


@pytest.fixture(scope="module")
def tree() -> Tree:
    return real_tree()


def test_the_tree_is_seen(tree: Tree) -> None:
    assert {"cno/__init__.py", "cno/const.py", "tests/test_structure.py", "setup.py"} <= set(tree)


@pytest.mark.parametrize("rule", [*RULES, exceptions_are_needed], ids=lambda rule: rule.__name__)
def test_rule(rule: Rule, tree: Tree) -> None:
    problems = rule(tree)
    assert not problems, "\n" + "\n".join(problems)


# -- the rules themselves ------------------------------------------------------------------------

DOC = '"""What it knows."""\n'


def fields(name: str, prefix: str, count: int) -> str:
    """A class that declares so many fields."""
    lines = [f"        self.{prefix}{n} = {n}\n" for n in range(count)]
    return f"\nclass {name}:\n    def __init__(self):\n" + "".join(lines)


SOUND = {
    "cno/__init__.py": DOC + "from cno.aio import serve\n",
    "cno/_build.py": DOC,
    "cno/const.py": DOC + "import enum\n",
    "cno/errors.py": DOC + "from cno.const import OK\n",
    "cno/hpack/__init__.py": DOC + "from cno.hpack.tables import T\n",
    "cno/hpack/tables.py": DOC + "from librt.strings import BytesWriter\n",
    "cno/h1/__init__.py": DOC,
    "cno/h1/parse.py": DOC + "from cno import const\n" + fields("Base", "a", 20),
    "cno/h1/recv.py": DOC + "from cno.core import Core\nfrom cno.h1 import parse\n",
    "cno/h2/__init__.py": DOC,
    "cno/h2/recv.py": DOC + "from cno.core import Core\nfrom . import send\n",
    "cno/h2/send.py": DOC + "x = 1  # type: ignore[misc]  # a bug of the checker\n",
    "cno/core.py": DOC + "from cno.h1.parse import HEAD\n" + fields("Core", "_state", 40),
    "cno/engine.py": DOC + "import cno.h1.recv\nimport cno.h2.recv\n",
    "cno/aio/__init__.py": DOC + "import asyncio\nfrom cno._build import describe\n",
    "cno/aio/connection/protocol.py": DOC
    + "from cno.core import Core\nclass C(Core):\n    x: int\n",
    "cno/aio/client/urls.py": '"""URLs. Must never know a connection, or what a response is."""\n',
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
CHECKING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
DERIVED = "from cno.h1.parse import Base\n" + fields("Derived(Base)", "b", 20)
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
    (parts_have_places, "cno/aio/client/more.py", ""),
    (parts_have_places, "cno/aio/more.py", ""),
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
    (
        imports_point_up,
        "cno/aio/client/urls.py",
        "from cno.aio.connection.protocol import Connection\n",
    ),
    (
        imports_point_up,
        "cno/aio/connection/protocol.py",
        CHECKING + "    from cno.aio.pool import Pool\n",
    ),
    (
        imports_point_up,
        "cno/aio/server/listener.py",
        "from cno.aio.client.pooled import ClientConnection\n",
    ),
    (imports_point_up, "cno/aio/pool.py", "from cno import aio\n"),
    (no_import_cycles, "cno/h2/send.py", CHECKING + "    from cno.h2.recv import state\n"),
    (no_import_cycles, "cno/h2/send.py", "def f():\n    from cno.h2.recv import state\n"),
    (small_classes, "cno/raw.py", "class C:\n" + "    x = 1\n" * MAX_CLASS),
    (small_classes, "cno/raw.py", "class C:\n" + "    # why\n" * (MAX_PROSE + 1) + "    x = 1\n"),
    (small_classes, "cno/raw.py", "class C:\n    '''" + "x\n" * MAX_PROSE + "'''\n"),
    (small_classes, "cno/raw.py", fields("C", "x", MAX_FIELDS + 1)),
    (small_classes, "cno/h1/recv.py", DERIVED),
    (
        small_classes,
        "cno/h1/recv.py",
        DERIVED.replace("import Base", "import Base as B").replace("(Base)", "(B)"),
    ),
    (small_objects, "cno/aio/big.py", "from cno.core import Core\n" + fields("C(Core)", "y", 21)),
    (fields_are_written_at_home, "cno/raw.py", "def f(core):\n    core._state1 = 1\n"),
    (fields_are_written_at_home, "cno/raw.py", "def f(core):\n    core._state2 += 1\n"),
    (fields_are_written_at_home, "cno/engine.py", "def f(head):\n    del head.a3\n"),
    (no_private_names_of_others, "cno/raw.py", "def f(task):\n    return task._callbacks\n"),
    (no_private_names_of_others, "cno/raw.py", "def f(task):\n    task._must_cancel = 1\n"),
    (no_private_names_of_others, "cno/raw.py", "def f(t):\n    getattr(t, '_must_cancel')\n"),
]
# What the docstring of urls.py in the sound tree says.
KNOWING = (
    "from cno.aio.connection.protocol import Connection\n",
    CHECKING + "    from cno.aio.client.connection import Client\n",
    "def f():\n    from cno.aio.client.connection import Response\n",
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_accepts_a_sound_tree(rule: Rule) -> None:
    assert rule(SOUND) == []


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN)
def test_rule_can_fail(rule: Rule, path: str, text: str) -> None:
    problems = rule(SOUND | {path: DOC + text})
    assert any(problem.startswith(path) for problem in problems)


def test_missing_docstring_is_found() -> None:
    assert opens_with_contract({"cno/core.py": "# no contract\nx = 1\n"}) != []


@pytest.mark.parametrize("text", KNOWING)
def test_a_docstring_is_held_to_what_it_says(text: str) -> None:
    path = "cno/aio/client/urls.py"
    [problem] = does_not_know_what_it_must_not(SOUND | {path: SOUND[path] + text})
    assert problem.startswith(path)


def test_exceptions_that_nothing_needs_are_found() -> None:
    problems = "\n".join(exceptions_are_needed(SOUND))
    for table in ("IN_A_CIRCLE", "LARGE_CLASSES", "FOREIGN_WRITES"):
        assert f"{table}: " in problems


def test_a_figure_that_grows_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the figure of an exception, and no further."""
    text = DOC + fields("C", "x", MAX_FIELDS + 1) + "def f(core):\n    core._state1 = 1\n"
    tree = SOUND | {"cno/raw.py": text}
    for rule, table, name, exact, less in (
        (small_classes, "LARGE_CLASSES", "raw.C", (0, MAX_FIELDS + 1, ""), (0, MAX_FIELDS, "")),
        (fields_are_written_at_home, "FOREIGN_WRITES", "raw", 1, 0),
    ):
        monkeypatch.setattr(structure, table, {name: exact})
        assert rule(tree) == []
        monkeypatch.setattr(structure, table, {name: less})
        assert len(rule(tree)) == 1


def test_every_rule_is_shown_failing() -> None:
    elsewhere = {opens_with_contract, does_not_know_what_it_must_not}
    assert {rule for rule, _, _ in BROKEN} | elsewhere == set(RULES)


def test_a_documented_class_is_no_larger() -> None:
    """Docstrings, comments and blank lines are no code, wherever they stand."""
    text = 'class C:\n    """What."""\n\n    # why\n    def f(self):\n        """Do.\n\n        x\n'
    text += '        """\n'
    node = parsed(text, "raw").body[0]
    assert isinstance(node, ast.ClassDef)
    assert lines_of(node, text) == (2, 5)
