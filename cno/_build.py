"""Which build of the package runs, the extensions or the sources beside them; and its version.

Knows how Python finds and loads modules. Must never know what the package does, nor import any of
it before the choice is made. Stays interpreted: it is needed before there is a choice.
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

# A small module that is in the compilation unit whenever there is one: as it was loaded, all were.
_SAMPLE: Final = "cno.const"


class SourceFinder:
    """A finder for `sys.meta_path` that sees only the `.py` files of the package's submodules."""

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
    """With CNO_PURE in the environment (and not empty or 0), load sources from now on.

    To be called before any other module of the package is imported. Does no harm where nothing is
    compiled, nor when called again.
    """
    if os.environ.get("CNO_PURE", "0") in ("", "0"):
        return
    if not any(isinstance(finder, SourceFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, SourceFinder())


def is_compiled() -> bool:
    """Whether the extensions run, told from what was really loaded."""
    spec = import_module(_SAMPLE).__spec__
    return spec is not None and isinstance(spec.loader, ExtensionFileLoader)


def describe() -> str:
    """The version and the build in one line, for `--version` and bug reports."""
    return f"cno {VERSION} ({'compiled' if is_compiled() else 'pure Python'})"
