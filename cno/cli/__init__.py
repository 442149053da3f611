"""The command line, `cno serve` and `cno get`, and `Files`, the handler of `cno serve`.

`Files` needs no other package. `main` needs click and rich, so it is imported on first use.
"""

from typing import TYPE_CHECKING

from cno.cli.files import Files

if TYPE_CHECKING:
    from cno.cli.app import main

__all__ = ["Files", "main"]


def __getattr__(name: str) -> object:
    if name == "main":
        from cno.cli.app import main

        return main
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
