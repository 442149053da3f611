"""The source of compiled functions and classes, for `help()` and `inspect`.

Compiled code has docstrings, names and defaults, but no annotations. The `__wrapped__` of a
compiled method or coroutine function (see setup.py) and the `__signature__` of a compiled class
are made here when they are first read, from the source in the wheel. Without sources, annotations
are missing.
Knows the shape of modules. Must never know what the package does. Stays interpreted.
"""

import ast
import inspect
import sys
from collections.abc import Collection, Iterable
from functools import lru_cache
from types import FunctionType, MethodDescriptorType
from typing import Any, Final, TypeAlias

from cno._build import SourceFinder
from cno.aio.coroutine_functions import coroutine_function

#: The docstring that mypyc gives to each class that is not a native one.
NO_DOCSTRING: Final = "mypyc filler docstring"

CONSTRUCTORS: Final = ("__new__", "__init__")

#: Names of methods that return a coroutine, and count as coroutine functions.
_coroutines: set[str] = set()

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
        if qualname in _coroutines:
            coroutine_function(result)  # `unittest.mock` looks at `__wrapped__`
    return result


def function_of(compiled: Any) -> Any:
    """Return the interpreted function of a compiled coroutine function."""
    if not isinstance(compiled.__module__, str):  # `describe` has not seen it
        raise AttributeError(f"no source of {compiled.__qualname__}")
    return made(compiled.__module__, compiled.__qualname__)


class ClassSignature:
    """The `__signature__` of a compiled class, from its `__init__` in the source.

    A subclass with another constructor does not inherit it.
    """

    def __init__(self, owner: type) -> None:
        self._owner = owner

    def __get__(self, instance: object, cls: type) -> inspect.Signature:
        owner = self._owner
        made_alike = all(getattr(cls, name) is getattr(owner, name) for name in CONSTRUCTORS)
        if instance is not None or not made_alike:
            raise AttributeError("__signature__")
        for base in owner.__mro__:
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


class ClassDocstring:
    """The `__doc__` of a compiled class that is not a native one."""

    def __get__(self, instance: object, cls: type) -> str | None:
        definition, _ = definitions(cls.__module__).get(cls.__qualname__, (None, ""))
        return None if definition is None else ast.get_docstring(definition)


def describe(public: Iterable[object], coroutine: Any, others: Collection[str]) -> None:
    """Connect public classes, their bases and methods with their source.

    `coroutine` is the type of compiled coroutine functions, `others` the names of methods that
    return a coroutine, but are no coroutine functions: they are to count as such.
    """
    _coroutines.update(others)
    classes: set[type] = set()
    for each in public:
        if isinstance(each, type):
            classes.update(cls for cls in each.__mro__ if cls.__module__.startswith("cno."))
    for cls in classes:
        if (sys.modules[cls.__module__].__file__ or "").endswith(".py"):
            continue  # the class is interpreted
        if cls.__doc__ == NO_DOCSTRING:
            setattr(cls, "__doc__", ClassDocstring())  # noqa: B010  # type checkers want a str
        setattr(cls, "__signature__", ClassSignature(cls))  # noqa: B010  # typeshed knows none
        for name, member in list(vars(cls).items()):
            if not isinstance(member, coroutine):
                if name.startswith("_") or not isinstance(member, MethodDescriptorType):
                    continue
                is_coroutine = member.__qualname__ in others
                member = coroutine.of_method(member, inspect.CO_COROUTINE if is_coroutine else 0)
                if member is None:
                    continue
                setattr(cls, name, member)
            member.__module__ = cls.__module__
