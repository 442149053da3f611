"""Detects that this process is the child of a fork.

A child must not use the sockets of its parent, nor locks that threads of the parent may hold. A
leaf.
"""

import os
import threading
from typing import Any, Final, final

from mypy_extensions import i64


@final
class Forks:
    """`count` grows in each child. `lock` is held while a child replaces what its parent used."""

    def __init__(self) -> None:
        self.count: i64 = 0
        self.lock: Any = threading.Lock()


FORKS: Final = Forks()


def after_fork() -> None:
    """Count a fork; called in the child."""
    FORKS.count += 1
    FORKS.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork)
