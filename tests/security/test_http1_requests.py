"""The corpus of requests: smuggling is refused, unusual requests are accepted.

Each input is given whole, byte by byte and cut in two everywhere. A refusal has its exact status
and ends the connection, and the request after it is not delivered (`tests.h1.wire.refused`).
"""

import pytest

from tests.h1.wire import FIELDS, SMUGGLED, accepted, refused
from tests.security.smuggling import GROUPS, REFUSED, get
from tests.security.unusual import VALID
from tests.support import CUT_BELOW, Event


@pytest.mark.parametrize("name", REFUSED)
def test_e01_e02_e03_e04_e05_e06_e07_e09_e10_e11_e12_smuggled(name: str) -> None:
    attack = REFUSED[name]
    refused(attack.data + SMUGGLED, attack.status, heads=attack.heads)


@pytest.mark.parametrize("name", VALID)
def test_e01_e02_e04_e05_e06_e09_e10_e11_e12_e15_e16_honest(name: str) -> None:
    want = VALID[name]
    data: list[Event] = [("data", 1, want.body)] if want.body else []
    assert accepted(want.data + get(first=b"GET /next HTTP/1.1")) == [
        ("head", 1, 0, want.method, want.path, want.fields),
        *data,
        ("tail", 1, want.trailers),
        ("head", 3, 0, "GET", "/next", FIELDS),
        ("tail", 3, None),
    ]


def test_e01_the_corpus_is_long_enough() -> None:
    assert len(REFUSED) == sum(len(group.attacks) for group in GROUPS), "two of one name"
    assert len(REFUSED) >= 250
    assert len(VALID) >= 80
    sizes = [len(e.data) for e in REFUSED.values()] + [len(e.data) for e in VALID.values()]
    assert max(sizes) + len(SMUGGLED) < CUT_BELOW, "not cut everywhere"
