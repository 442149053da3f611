"""Connects public compiled classes and their methods with their source, which `_sources` reads.

Every import of public names does so, and few programs look: nothing is read before they do. Knows
the shape of classes. Must never know what the package does. Stays interpreted.

In asyncio's debug mode, it also has coroutines of compiled methods warn when nobody awaits them.
"""

import functools
import os
import sys
from collections.abc import Collection, Coroutine
from types import MethodDescriptorType
from typing import TYPE_CHECKING, Any, Final

from cno.compiled_function import COMPILED_FUNCTION, COROUTINE_METHODS

if TYPE_CHECKING:
    from inspect import Signature  # slow to import

#: The docstring that mypyc gives to each class that is not a native one.
NO_DOCSTRING: Final = "mypyc filler docstring"

CONSTRUCTORS: Final = ("__new__", "__init__")

#: The flag of a coroutine function, `inspect.CO_COROUTINE`.
COROUTINE: Final = 0x80

#: Whether the process began in asyncio's debug mode (`python -X dev`, PYTHONASYNCIODEBUG=1).
DEBUG: Final = sys.flags.dev_mode or (
    not sys.flags.ignore_environment and bool(os.environ.get("PYTHONASYNCIODEBUG"))
)


class ClassSignature:
    """The `__signature__` of a compiled class, from its `__init__` in the source.

    A subclass with another constructor does not inherit it.
    """

    def __init__(self, owner: type) -> None:
        self._owner = owner

    def __get__(self, instance: object, cls: type) -> "Signature":
        owner = self._owner
        made_alike = all(getattr(cls, name) is getattr(owner, name) for name in CONSTRUCTORS)
        if instance is not None or not made_alike:
            raise AttributeError("__signature__")
        from cno._sources import signature_of

        return signature_of(owner)


class ClassDocstring:
    """The `__doc__` of a compiled class that is not a native one."""

    def __get__(self, instance: object, cls: type) -> str | None:
        from cno._sources import docstring_of

        return docstring_of(cls)


def describe(module: str, others: Collection[str] = ()) -> None:
    """Connect the public classes of a compiled build, and their bases, with their source.

    `module`: where they are public. `others`: the names of methods that return a coroutine, but are
    no coroutine functions: they are to count as such.
    """
    COROUTINE_METHODS.update(others)
    classes: set[type] = set()
    for name in sys.modules[module].__all__:
        each = getattr(sys.modules[module], name)
        if isinstance(each, type):
            classes.update(cls for cls in each.__mro__ if cls.__module__.startswith("cno."))
    for cls in classes:
        if not (sys.modules[cls.__module__].__file__ or "").endswith(".py"):
            describe_class(cls)
            if DEBUG:
                warn_unawaited(cls)


def describe_class(cls: type) -> None:
    """Connect one class with its source, unless that is done."""
    if isinstance(vars(cls).get("__signature__"), ClassSignature):
        return
    if cls.__doc__ == NO_DOCSTRING:
        setattr(cls, "__doc__", ClassDocstring())  # noqa: B010  # type checkers want a str
    setattr(cls, "__signature__", ClassSignature(cls))  # noqa: B010  # typeshed knows none
    for name, member in list(vars(cls).items()):
        if not isinstance(member, COMPILED_FUNCTION):
            method: Any = described(name, member)
            if method is None:
                continue
            setattr(cls, name, method)
            member = method
        member.__module__ = cls.__module__


def described(name: str, member: Any) -> Any:
    """Return what stands for a public method in the place of Python's descriptor, or None."""
    if name.startswith("_") or not isinstance(member, MethodDescriptorType):
        return None
    flags = COROUTINE if member.__qualname__ in COROUTINE_METHODS else 0
    return COMPILED_FUNCTION.of_method(member, flags)


# -- forgotten awaits ------------------------------------------------------------------------------


def warn_unawaited(cls: type) -> None:
    """Have coroutines of a compiled class warn if they are never awaited: for debugging.

    Python's own coroutines do so always. Compiled ones have no finalizer, which would cost each
    call some time. So an interpreted coroutine awaits the compiled one. Compiled code that calls
    these methods does not go this way.
    """
    for name, member in list(vars(cls).items()):
        if not name.startswith("_") and returns_coroutine(member):
            setattr(cls, name, warning(member))


def returns_coroutine(member: Any) -> bool:
    """Return whether this is a compiled method that counts as a coroutine function."""
    flags = getattr(getattr(member, "__code__", None), "co_flags", 0)
    return isinstance(member, COMPILED_FUNCTION) and bool(flags & COROUTINE)


def warning(method: Any) -> Any:
    """Return a method that does the same, and whose coroutine warns if it is never awaited."""
    from cno.aio.coroutine_functions import coroutine_function

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        made = method(*args, **kwargs)
        coroutine: Any = awaited(made)
        coroutine.__name__, coroutine.__qualname__ = method.__name__, method.__qualname__
        return type(made)(coroutine) if hasattr(made, "__aenter__") else coroutine

    return coroutine_function(call)


async def awaited(inner: Coroutine[Any, Any, Any]) -> Any:
    """Await a compiled coroutine."""
    return await inner
