"""What every test run shares: which tests it runs, the build, Hypothesis profiles, ports."""

import gc
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import cno
from cno._build import describe
from tests.peers import IN_CI, free_port

# Their asserts explain themselves as those of tests do.
pytest.register_assert_rewrite("tests.support")
from tests import support  # noqa: E402  # now it can be imported

# No deadlines: a busy machine is no bug. CI looks longer, but always at the same examples, so that
# only a change of ours can turn it red; developers' runs are what explores.
settings.register_profile("dev", deadline=None, max_examples=50)
settings.register_profile(
    "ci",
    deadline=None,
    max_examples=200,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("long", deadline=None, max_examples=5_000)
settings.register_profile("quick", deadline=None, max_examples=10)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if IN_CI else "dev"))

# A shell that starts the tests in its background has them ignore this; programs that they stop by
# it would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# What a quick run does not even import, below `tests`: what starts programs, imports large
# packages or runs tools over the package, floods, and what tries each of many values. A single test
# has the mark `slow` instead.
SLOW = {
    "adapters/test_sdks.py",
    "aio/test_cancel.py",
    "aio/test_lifecycle.py",
    "aio/test_limits_ends.py",
    "aio/test_signals.py",
    "websocket/test_peers.py",
    "cli/test_hints.py",
    "cli/test_limit_option.py",
    "cli/test_output.py",
    "cli/test_terminal.py",
    "compliance/test_index.py",
    "fuzz",
    "h1/test_rechunk.py",
    "h2/test_accounting.py",
    "h2/test_flow_liveness.py",
    "hpack/test_stories.py",
    "interop",
    "security",
    "serve",
    "stress",
    "test_benchmarks.py",
    "test_docs.py",
    "test_packaging.py",
    "test_patches.py",
    "test_readme.py",
    "test_site.py",
    "test_structure.py",
    "typing",
}
HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick",
        action="store_true",
        help="leave out the slow tests, as pytest does here without a path, -k or -m",
    )
    parser.addoption(
        "--share",
        action="store_true",
        help="with -n: each process collects only the files whose tests it runs",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run quick tests only, on all cores, where nothing says which tests to run."""
    option = config.option
    if hasattr(config, "workerinput"):  # one of those processes
        option.quick = config.workerinput["quick"]
        return
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        option.quick |= not (option.keyword or option.markexpr)
    if option.quick and getattr(option, "numprocesses", 0) is None and not option.usepdb:
        # Half of the time they wait.
        option.numprocesses = min(2 * (os.cpu_count() or 1), 8)
        option.share = True
    option.share = option.share and bool(getattr(option, "numprocesses", 0))


def pytest_configure(config: pytest.Config) -> None:
    """Divide the files; try fewer examples, and fewer ways to cut the input, in a quick run."""
    # Tests of a file share servers and what else takes long to set up.
    share = getattr(config, "workerinput", {}).get("share")
    if share is not None:
        from tests import shares

        config.pluginmanager.register(shares.Share(config, share))
    elif config.option.share and not hasattr(config, "workerinput"):
        from tests import shares

        config.pluginmanager.register(shares.Divider(config, files_to_run(config)))
    if config.option.quick:
        support.quick = True
        support.cut_step = 13
        if "HYPOTHESIS_PROFILE" not in os.environ:
            settings.load_profile("quick")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell the processes of xdist what was found out here."""
    node.workerinput["quick"] = node.config.option.quick


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return (config.option.quick and is_slow(collection_path)) or None


def is_slow(path: Path) -> bool:
    """Whether the file, or a folder that it is in, is listed in SLOW."""
    if not path.is_relative_to(HERE):
        return False
    below = path.relative_to(HERE)
    return any(each.as_posix() in SLOW for each in (below, *below.parents))


def files_to_run(config: pytest.Config) -> list[Path]:
    """The files of tests at and below the paths that are given, but for those that are left out."""
    here = config.invocation_params.dir
    # Without "..": pytest asks about files by their paths without it.
    given = {Path(os.path.normpath(here / arg.split("::")[0])) for arg in config.args}
    ignored = {Path(os.path.normpath(here / path)) for path in config.option.ignore or ()}
    found: set[Path] = set()
    for path in given:
        found.update([path] if path.is_file() else path.rglob("test_*.py"))
    return sorted(
        path
        for path in found
        if not ignored.intersection((path, *path.parents))
        and not (config.option.quick and is_slow(path))
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.quick:
        slow = {item for item in items if item.get_closest_marker("slow")}
        config.hook.pytest_deselected(items=list(slow))
        items[:] = [item for item in items if item not in slow]


def pytest_collection_finish() -> None:
    """What there is by now stays until the end: tests that collect garbage need not look at it."""
    gc.collect()
    gc.freeze()


def pytest_report_header() -> str:
    return f"build: {describe()}, from {os.path.dirname(cno.__file__)}"


@pytest.fixture(name="free_port")
def _free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on."""
    return free_port()
