"""Changes of files, by `watchfiles`: which of them concern a running application.

Knows folders and patterns of names. Must never know what is done about a change.
"""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

INCLUDES: Final = ("*.py",)
EXCLUDES: Final = (".*", ".py[cod]", ".sw.*", "~*")


class FileFilter:
    """Tells which paths matter: those that match a pattern of `includes` (`*.py` is one of them,
    unless it is excluded) and none of `excludes`, which may name folders."""

    def __init__(self, includes: Iterable[str] = (), excludes: Iterable[str] = ()) -> None:
        includes, excludes = list(includes), list(excludes)
        self._folders = [Path(each).resolve() for each in excludes if Path(each).is_dir()]
        self._excludes = [each for each in excludes if not Path(each).is_dir()]
        self._excludes += [each for each in EXCLUDES if each not in includes]
        self._includes = [each for each in INCLUDES if each not in excludes] + includes

    def __call__(self, path: Path) -> bool:
        if not any(path.match(pattern) for pattern in self._includes):
            return False
        if any(path.match(pattern) for pattern in self._excludes):
            return False
        return not any(folder in path.parents for folder in self._folders)


def watch(
    folders: Iterable[Path],
    wanted: FileFilter,
    delay: float,
    on_change: Callable[[list[Path]], None],
    stop: threading.Event,
) -> threading.Thread:
    """Call `on_change` from a thread with the paths that have changed, at most every `delay`
    seconds, until `stop` is set. Raises ImportError without `watchfiles`."""
    from watchfiles import watch as changes

    def run() -> None:
        step = max(1, int(delay * 1000))
        for found in changes(
            *folders, watch_filter=None, stop_event=stop, debounce=step, step=min(step, 50),
            raise_interrupt=False, ignore_permission_denied=True,
        ):  # fmt: skip
            paths = sorted({Path(path) for _, path in found if wanted(Path(path))})
            if paths:
                on_change(paths)

    thread = threading.Thread(target=run, name="cno-reload", daemon=True)
    thread.start()
    return thread
