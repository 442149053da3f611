"""Divides test files among the processes of pytest-xdist before they are collected.

With xdist's own ways each process collects all tests, to run some. Here each collects its share of
the files, and runs all that is in it. Files that took long in the last run are divided first.
Knows pytest and xdist alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import EachScheduling  # type: ignore[import-untyped]  # xdist has no types

#: Where pytest's cache keeps how many seconds each file took.
CACHE = "shares/seconds"
#: Seconds for a byte of a file that has not run yet.
SECONDS_PER_BYTE = 0.0001


def divide(weights: Mapping[str, float], count: int) -> list[list[str]]:
    """Return `count` shares of files; the sums of their weights are about the same."""
    shares: list[list[str]] = [[] for _ in range(count)]
    sums = [0.0] * count
    for name in sorted(weights, key=lambda name: (-weights[name], name)):
        least = sums.index(min(sums))
        shares[least].append(name)
        sums[least] += weights[name]
    return shares


class Scheduler(EachScheduling):  # type: ignore[misc]  # the base is untyped
    """Each process runs all that it has collected."""

    def schedule(self) -> None:
        session: Any = self.config.pluginmanager.get_plugin("session")
        # xdist takes the number of the last process.
        session.testscollected = sum(map(len, self.node2collection.values()))
        super().schedule()


class Divider:
    """In the process that starts the others: gives each its share, and keeps the durations."""

    def __init__(self, config: pytest.Config, files: Iterable[Path]) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        # None with `-p no:cacheprovider`.
        self.cache: pytest.Cache | None = getattr(config, "cache", None)
        self.before: dict[str, float] = {}
        if self.cache is not None:
            self.before = self.cache.get(CACHE, {})
        weights = {}
        for path in files:
            name = path.relative_to(config.rootpath).as_posix()
            weights[name] = self.before.get(name, path.stat().st_size * SECONDS_PER_BYTE)
        self.shares = divide(weights, config.option.numprocesses)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Scheduler:
        return Scheduler(config, log)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["share"] = self.shares.pop(0)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """The share of a process that crashed goes to the one that replaces it."""
        if error:
            self.shares.append(node.workerinput["share"])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid.partition("::")[0]] += report.duration

    def pytest_sessionfinish(self) -> None:
        if self.cache is not None:
            self.cache.set(CACHE, {**self.before, **self.seconds})


class Share:
    """In one of those processes: leaves out what is in the shares of others."""

    def __init__(self, config: pytest.Config, names: Iterable[str]) -> None:
        files = {config.rootpath / name for name in names}
        self.kept = files.union(*(path.parents for path in files))

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        if collection_path.is_dir() or collection_path.match("test_*.py"):
            return collection_path not in self.kept or None
        return None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Of files that were named on the command line, which are never ignored."""
        items[:] = [item for item in items if item.path in self.kept]
