"""Modules of the standard library that are loaded when something of them is used.

asyncio, logging and dataclasses import modules that take a sixth of the time that a command needs
to fetch a small file, and that a command hardly ever uses. (`importlib.util.LazyLoader` loads a
module at its second import.) A leaf: knows modules.
"""

import sys
from _thread import RLock
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec, module_from_spec
from types import MappingProxyType, ModuleType
from typing import Any, Final

#: The constants of `subprocess` that asyncio reads when it is imported.
PIPES: Final = {"PIPE": -1, "STDOUT": -2, "DEVNULL": -3}

#: Held while a module is loaded.
_loading: Final = RLock()


class Deferred(ModuleType):
    """A module that is loaded when the first of its attributes is read."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") and name != "__all__":
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        load(self)
        found: object = ModuleType.__getattribute__(self, name)
        return found

    def __dir__(self) -> list[str]:
        load(self)
        return sorted(self.__dict__)


def load(module: ModuleType) -> None:
    """Load a deferred module, unless that is done. Another thread waits until it is."""
    with _loading:
        state = module.__dict__
        spec = module.__spec__
        if not isinstance(module, Deferred) or spec is None or spec.loader is None:
            return
        if state.get("__deferred__"):
            return  # this thread is loading it
        state["__deferred__"] = True
        try:
            spec.loader.exec_module(module)
        finally:
            del state["__deferred__"]
        module.__class__ = ModuleType  # type: ignore[assignment]  # as Python allows for modules


def defer(
    name: str, functions: Iterable[str] = (), constants: Mapping[str, object] = MappingProxyType({})
) -> None:
    """Have the next imports of a module give it without loading it.

    Its `constants` are read without loading it, too; its `functions` load it when they are called.
    """
    spec = None if name in sys.modules else find_spec(name)
    if spec is not None:
        module = module_from_spec(spec)
        module.__class__ = Deferred
        module.__dict__.update(constants)
        for function in functions:
            module.__dict__[function] = loading(module, function)
        sys.modules[name] = module


def loading(module: ModuleType, name: str) -> Callable[..., Any]:
    """Return a function that stands for one of a module: it loads that, and calls the function."""

    def call(*args: Any, **named: Any) -> Any:
        load(module)
        return getattr(module, name)(*args, **named)

    return call


def defer_inspect() -> None:
    """Defer `inspect`, of which dataclasses of Python 3.13 need one function."""
    defer("inspect", constants={"get_annotations": get_annotations})


def get_annotations(owner: Any, **named: Any) -> Any:
    """Do what `inspect.get_annotations` does, for a class without loading that module."""
    found = vars(owner).get("__annotations__", {}) if isinstance(owner, type) else None
    if not named and isinstance(found, dict) and sys.version_info < (3, 14):
        return dict(found)
    load(sys.modules["inspect"])
    return sys.modules["inspect"].get_annotations(owner, **named)


def defer_for_client() -> None:
    """Defer what asyncio imports, and a client does not need."""
    # Compiled parts of asyncio read the function when they are imported, and call it in debug mode.
    defer("traceback", ("extract_stack",))
    defer("linecache")
    defer("subprocess", constants=PIPES)
