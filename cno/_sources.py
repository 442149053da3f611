"""The source of compiled functions and classes, for `help()` and `inspect`.

Compiled code has docstrings, names and defaults, but no annotations. The `__wrapped__` of a
compiled method or coroutine function (see setup.py) and the `__signature__` of a compiled class
are made here when they are first read, from the source in the wheel. Without sources, annotations
are missing.
Knows the shape of modules. Must never know what the package does. Stays interpreted. Slow to
import: see `_description`, which connects classes with this.
"""

import ast
import inspect
import sys
from functools import lru_cache
from types import FunctionType
from typing import Any, TypeAlias

from cno._build import SourceFinder
from cno.aio.coroutine_functions import coroutine_function
from cno.compiled_function import COROUTINE_METHODS

Definition: TypeAlias = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@lru_cache(None)
def definitions(module: str) -> dict[str, tuple[Definition, str]]:
    """Return the classes, methods and functions of a module, each with the path of its source."""
    parent = sys.modules[module.rpartition(".")[0]]
    spec = SourceFinder().find_spec(module, parent.__path__)
    if spec is None or spec.origin is None:
        return {}
    with open(spec.origin, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    found: dict[str, tuple[Definition, str]] = {}
    for each in tree.body:
        if isinstance(each, Definition):
            found[each.name] = each, spec.origin
        if isinstance(each, ast.ClassDef):
            for member in each.body:
                if isinstance(member, Definition):
                    found[f"{each.name}.{member.name}"] = member, spec.origin
    return found


@lru_cache(None)
def made(module: str, qualname: str) -> Any:
    """Return the interpreted function or class. Raise AttributeError if there is no source."""
    definition, path = definitions(module).get(qualname, (None, ""))
    if definition is None:
        raise AttributeError(f"no source of {module}.{qualname}")
    if not isinstance(definition, ast.ClassDef):
        definition.decorator_list = []
    code = compile(ast.Module([definition], []), path, "exec", dont_inherit=True)
    names: dict[str, Any] = {}
    exec(code, vars(sys.modules[module]), names)
    result = names[definition.name]
    if isinstance(result, FunctionType):
        result.__qualname__ = qualname
        if qualname in COROUTINE_METHODS:
            coroutine_function(result)  # `unittest.mock` looks at `__wrapped__`
    return result


def function_of(compiled: Any) -> Any:
    """Return the interpreted function of a compiled coroutine function."""
    if not isinstance(compiled.__module__, str):  # `describe` has not seen it
        raise AttributeError(f"no source of {compiled.__qualname__}")
    return made(compiled.__module__, compiled.__qualname__)


def signature_of(cls: type) -> inspect.Signature:
    """Return the signature of a compiled class. Raises AttributeError if there is no source."""
    for base in cls.__mro__:
        if base.__module__.startswith("cno."):
            if f"{base.__qualname__}.__init__" in definitions(base.__module__):
                return constructor_of(base)
            if hasattr(base, "__dataclass_fields__"):
                return inspect.signature(made(base.__module__, base.__qualname__))
    raise AttributeError("__signature__")


def constructor_of(cls: type) -> inspect.Signature:
    """Return the signature of a class that has an `__init__` in the sources."""
    signature = inspect.signature(made(cls.__module__, f"{cls.__qualname__}.__init__"))
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def docstring_of(cls: type) -> str | None:
    """Return the docstring of a class."""
    definition, _ = definitions(cls.__module__).get(cls.__qualname__, (None, ""))
    return None if definition is None else ast.get_docstring(definition)
