"""What every test run shares: the build it says it tests, Hypothesis profiles, ports."""

import gc
import os
import signal

import pytest
from hypothesis import HealthCheck, settings

import cno
from cno._build import describe
from tests.peers import IN_CI, free_port

# Their asserts explain themselves as those of tests do.
pytest.register_assert_rewrite("tests.support")

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
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if IN_CI else "dev"))

# A shell that starts the tests in its background has them ignore this; programs that they stop by
# it would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
