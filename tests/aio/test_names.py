"""The asyncio classes subclass the engine, and share no private name with it.

Reads the sources by `ast`, as tests/test_structure.py does. A type checker accepts the same name
with the same type, which would be one field with two owners.
"""

import ast

from tests.tree import PACKAGE

ENGINE = {"core.py": {"Core"}, "engine.py": {"Engine"}}
LAYERS = {
    "aio/connection/state.py": {"Link"},
    "aio/connection/protocol.py": {"Connection"},
    "aio/server/state.py": {"ServerLink"},
    "aio/server/connection.py": {"Server"},
    "aio/client/state.py": {"ClientLink"},
    "aio/client/connection.py": {"Client"},
}


def private_names(path: str, classes: set[str]) -> set[str]:
    """The private methods, and fields set on `self`, of these classes of a file."""
    tree = ast.parse(PACKAGE.joinpath(path).read_text("utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name in classes:
            for inner in ast.walk(node):
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    names.add(inner.name)
                elif (
                    isinstance(inner, ast.Attribute)
                    and isinstance(inner.ctx, ast.Store)
                    and isinstance(inner.value, ast.Name)
                    and inner.value.id == "self"
                ):
                    names.add(inner.attr)
    return {name for name in names if name.startswith("_") and not name.endswith("__")}


def test_no_private_name_of_the_engine_is_taken() -> None:
    engine = set().union(*(private_names(*each) for each in ENGINE.items()))
    assert {"_streams", "_state", "_http2"} <= engine
    layers = set().union(*(private_names(*each) for each in LAYERS.items()))
    assert {"_exchanges", "_send_buffer", "_start_handler"} <= layers
    assert not layers & engine
