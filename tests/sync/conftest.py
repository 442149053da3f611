"""The wires and certificates of asyncio's tests; servers run on asyncio's own loop."""

import gc
import os
import threading
from collections.abc import Iterator

import pytest

from tests.aio.conftest import certificates, wire
from tests.aio.lab import Certificates, Lab

__all__ = ["certificates", "wire"]


@pytest.fixture
def lab(certificates: Certificates) -> Lab:
    return Lab(None, certificates)


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test leaves a descriptor or a thread behind."""
    if request.node.get_closest_marker("filterwarnings") and "any_place" in request.node.name:
        # An interrupt may come between a system call and the assignment of its result.
        yield
        return
    before = descriptors()
    threads = threading.active_count()
    yield
    gc.collect()
    assert descriptors() <= before
    assert threading.active_count() <= threads


def descriptors() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0
