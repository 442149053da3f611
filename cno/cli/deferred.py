"""Modules of the standard library that are loaded when something of them is used.

asyncio and dataclasses import `inspect`, which takes a tenth of the time that a command needs to
fetch a small file, and which a command hardly ever uses. (`importlib.util.LazyLoader` loads a
module at its second import.) A leaf: knows modules.
"""

import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType


class Deferred(ModuleType):
    """A module that is loaded when the first of its attributes is read."""

    def __getattr__(self, name: str) -> object:
        spec = self.__spec__
        if name.startswith("__") or spec is None or spec.loader is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__class__ = ModuleType  # type: ignore[assignment]  # as Python allows for modules
        spec.loader.exec_module(self)
        found: object = getattr(self, name)
        return found


def defer(name: str) -> None:
    """Have the next imports of a module give it without loading it."""
    spec = None if name in sys.modules else find_spec(name)
    if spec is not None:
        module = module_from_spec(spec)
        module.__class__ = Deferred
        sys.modules[name] = module
