"""The command line, `cno serve` and `cno get`, and `Files`, the handler of `cno serve`.

`Files` needs no other package. Both names are imported on first use, since a command needs one.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cno.cli.app import main
    from cno.cli.files import Files

__all__ = ["Files", "main"]


def __getattr__(name: str) -> object:
    if name == "main":
        from cno.cli.app import main

        return main
    if name == "Files":
        from cno.cli.files import Files

        return Files
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
