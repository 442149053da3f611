"""The event loops and the wires of the tests of the asyncio layer; httpx and httpx2."""

import httpx
import httpx2
import pytest

import cno.httpx
import cno.httpx2
from tests.adapters.kit import Kit
from tests.aio.conftest import certificates, lab, wire
from tests.support import variants

__all__ = ["certificates", "lab", "wire"]

KITS = [Kit(httpx, cno.httpx, "httpcore"), Kit(httpx2, cno.httpx2, "httpcore2")]


#: Both have the same code of ours, by another name.
PARAMS = variants(KITS[0], pytest.param(KITS[1], marks=pytest.mark.slow))


@pytest.fixture(params=PARAMS, ids=str)
def kit(request: pytest.FixtureRequest) -> Kit:
    made: Kit = request.param
    return made
