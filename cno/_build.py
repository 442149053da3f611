"""The choice between the compiled build and its sources; the version.

Knows how Python finds and loads modules. Must never know what the package does, or import a module
of it before the choice. Stays interpreted, because it runs before the choice.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import (
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
)
from types import ModuleType
from typing import Final

VERSION: Final = "0.1.0"

# A small module that every compiled build contains. All compiled modules are loaded as it is.
_SAMPLE: Final = "cno.const"


class SourceFinder:
    """A finder for `sys.meta_path` that finds only the `.py` files of the package's submodules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if not fullname.startswith("cno."):
            return None
        for folder in path or ():
            spec = FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(fullname)
            if spec is not None:
                return spec
        return None


def choose() -> None:
    """Load the sources from now on, if the environment has CNO_PURE (and it is not empty or 0).

    Call this before any other module of the package is imported. A second call has no effect.
    """
    if os.environ.get("CNO_PURE", "0") in ("", "0"):
        return
    if not any(isinstance(finder, SourceFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, SourceFinder())


def is_compiled() -> bool:
    """Return whether the extensions were loaded."""
    spec = import_module(_SAMPLE).__spec__
    return spec is not None and isinstance(spec.loader, ExtensionFileLoader)


def describe() -> str:
    """Return the version and the build in one line, for `--version` and bug reports."""
    return f"cno {VERSION} ({'compiled' if is_compiled() else 'pure Python'})"
