"""A sample of mutations: `python -m tests.mutations --seed 7 --count 60`.

Changes one operator, constant or statement of the engine or of the asyncio layer at a time, in a
copy of the tree, and runs the tests of that part until one fails. Prints which test noticed each
mutant, and exits with 1 if there are mutants that none notices. The seed determines the sample; a
mutant can be run alone by its name. It needs the sources, and takes some ten seconds of CPU time
for each mutant.

Some survivors are equivalent: a constant that is for speed only, or a condition that another one
implies. Anything else asks for a test.
"""

import argparse
import ast
import copy
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Final, NamedTuple

from tests.tree import ROOT

ENGINE: Final = "tests/h1 tests/h2 tests/test_raw_api.py tests/test_misuse.py"
#: The tests of a part, by the beginning of a module's path; the first one that fits.
TESTS: Final = {
    "cno/hpack/": "tests/hpack",
    "cno/h1/lenient.py": "tests/security/test_http1_allowances.py tests/h1",
    "cno/h1/": "tests/h1 tests/compliance/test_9112_*.py tests/compliance/test_llhttp.py",
    "cno/h2/": "tests/h2 tests/compliance/test_9113_*.py",
    "cno/pool/": "tests/pool tests/aio/test_pool.py",
    "cno/aio/connection/body.py": "tests/aio/test_body.py tests/aio/test_flow.py",
    "cno/aio/connection/bdp.py": "tests/aio/test_windows.py tests/aio/test_flow.py",
    "cno/aio/connection/room.py": "tests/aio/test_room.py tests/aio/test_windows.py",
    "cno/aio/connection/": "tests/aio/test_t*.py tests/aio/test_[flop]*.py tests/aio/test_s*.py",
    "cno/aio/server/proxy_": "tests/aio/test_proxy_protocol.py",
    "cno/aio/server/": "tests/aio/test_[aehlps]*.py tests/aio/test_graceful_close.py",
    "cno/aio/client/urls.py": "tests/aio/test_urls.py",
    "cno/aio/client/proxy_environment.py": "tests/aio/test_proxy_environment.py",
    "cno/aio/client/happy_eyeballs.py": "tests/aio/test_[ch]*.py",
    "cno/aio/client/": "tests/aio/test_[aeprtlg]*.py tests/aio/test_connect.py",
    "cno/aio/": "tests/aio/test_[abcefp]*.py tests/aio/test_hosts.py tests/aio/test_s*.py",
    "cno/core.py": ENGINE,
    "cno/streams.py": ENGINE,
    "cno/drive.py": ENGINE,
    "cno/engine.py": ENGINE,
    "cno/headers.py": f"tests/compliance/test_9113_*.py {ENGINE}",
}
COMPARED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
#: Seconds after which a mutant counts as noticed: it waits, or loops, for ever.
PATIENCE: Final = 900


class Mutant(NamedTuple):
    """One change: the name is the path, the line, and the number of the change in the file."""

    name: str
    before: str
    after: str
    text: str


def other(node: ast.AST) -> ast.AST | None:
    """Return what takes the place of a node; None if it stays as it is."""
    changed = copy.deepcopy(node)
    match changed:
        case ast.Compare(ops=[op]) if type(op) in COMPARED:
            changed.ops = [COMPARED[type(op)]()]
        case ast.BoolOp():
            changed.op = ast.Or() if isinstance(changed.op, ast.And) else ast.And()
        case ast.UnaryOp(op=ast.Not()):
            return changed.operand
        case ast.Constant(value=bool(value)):
            changed.value = not value
        case ast.Constant(value=int(value)):
            changed.value = value + 1
        case ast.BinOp(op=ast.Add()) | ast.AugAssign(op=ast.Add()):
            changed.op = ast.Sub()
        case ast.BinOp(op=ast.Sub()) | ast.AugAssign(op=ast.Sub()):
            changed.op = ast.Add()
        case ast.Expr(value=ast.Call(func=function)) if "log" not in ast.unparse(function):
            return ast.Pass()
        case ast.Raise() | ast.Assign(targets=[ast.Attribute()]):
            return ast.Pass()
        case _:
            return None
    return changed


def places(syntax: ast.Module) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Where a node of a function's body stands: its parent, the field, and the index in a list."""
    for function in ast.walk(syntax):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in function.body:
                for parent in (function, *ast.walk(statement)):
                    if parent is function:
                        yield function, "body", function.body.index(statement)
                        continue
                    if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
                        continue
                    for name, value in ast.iter_fields(parent):
                        if name in ("annotation", "returns", "decorator_list"):
                            continue
                        if isinstance(value, list):
                            yield from ((parent, name, index) for index in range(len(value)))
                        elif isinstance(value, ast.AST):
                            yield parent, name, None


def numbers(text: str) -> list[int]:
    """Return the numbers of the places where a file can be changed."""
    found = []
    for number, (parent, field, index) in enumerate(places(ast.parse(text))):
        value = getattr(parent, field)
        node = value if index is None else value[index]
        if isinstance(node, ast.AST) and other(node) is not None:
            found.append(number)
    return found


def mutant(path: str, text: str, number: int) -> Mutant:
    """Return a file with the change at one place."""
    syntax = ast.parse(text)
    parent, field, index = list(places(syntax))[number]
    value = getattr(parent, field)
    node = value if index is None else value[index]
    changed = other(node)
    assert changed is not None
    if index is None:
        setattr(parent, field, changed)
    else:
        value[index] = changed
    name = f"{path}:{getattr(node, 'lineno', 0)}:{number}"
    after = ast.unparse(ast.fix_missing_locations(syntax))
    return Mutant(name, ast.unparse(node), ast.unparse(changed), after)


def sample(seed: int, count: int, below: str) -> list[Mutant]:
    """Return so many changes, of files by their size."""
    files = {
        path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
        for path in sorted(ROOT.glob("cno/**/*.py"))
    }
    files = {path: text for path, text in files.items() if tests_of(path) and below in path}
    chance = random.Random(seed)
    chosen = chance.choices(list(files), [len(text) for text in files.values()], k=count)
    found = []
    for path in chosen:
        if every := numbers(files[path]):
            found.append(mutant(path, files[path], chance.choice(every)))
    return found


def tests_of(path: str) -> list[str]:
    """Return the tests of a module; none if it is no part of the engine or the asyncio layer."""
    for beginning, patterns in TESTS.items():
        if path.startswith(beginning):
            found = [each for pattern in patterns.split() for each in sorted(ROOT.glob(pattern))]
            return [each.relative_to(ROOT).as_posix() for each in found]
    return []


def noticed_by(change: Mutant, tree: Path) -> str:
    """Return the test that fails with a change, in a copy of the tree; '' if all pass.

    A test that fails without the change too, as some do on a busy machine, does not count.
    """
    path = change.name.partition(":")[0]
    place = tree / path
    others: list[str] = []
    while True:
        place.write_text(change.text, "utf-8")
        try:
            failed = first_failure(tree, tests_of(path), others)
        finally:
            shutil.copy2(ROOT / path, place)
        if "::" not in failed or not first_failure(tree, [failed], []):
            return failed
        others.append(failed)


def first_failure(tree: Path, tests: list[str], others: list[str]) -> str:
    """Run tests, but for some; return the first that fails, or what else is wrong, or ''."""
    command = [sys.executable, "-m", "pytest", "-xq", "--quick", "-p", "no:cacheprovider"]
    command += ["-p", "no:xdist", "-k", "not uvloop and not tls", *tests]
    for each in others:
        command += ["--deselect", each]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ran = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return f"more than {PATIENCE} s"
    if ran.returncode == 0:
        return ""
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", ran.stdout.decode(errors="replace"), re.M)
    return failed[0] if failed else f"status {ran.returncode}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--below", default="", help="part of the paths to change")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--name", help="run this one: path:line:number")
    options = parser.parse_args()
    if options.name:
        path, _, number = options.name.split(":")
        chosen = [mutant(path, (ROOT / path).read_text("utf-8"), int(number))]
    else:
        chosen = sample(options.seed, options.count, options.below)
    left = 0
    with tempfile.TemporaryDirectory() as folder:
        trees: Queue[Path] = Queue()
        for number in range(options.jobs):
            tree = Path(folder, str(number))
            for each in ("cno", "tests", "docs"):
                shutil.copytree(ROOT / each, tree / each)
            for file in ROOT.glob("*.*"):
                if file.is_file():
                    shutil.copy2(file, tree)
            trees.put(tree)

        def run(change: Mutant) -> tuple[Mutant, str]:
            tree = trees.get()
            try:
                return change, noticed_by(change, tree)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(options.jobs) as pool:
            for change, test in pool.map(run, chosen):
                left += not test
                print(f"{change.name}  {change.before!r} -> {change.after!r}")
                print(f"  noticed by {test}" if test else "  SURVIVED", flush=True)
    print(f"{len(chosen) - left} of {len(chosen)} mutants noticed")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
