"""The load test in its quick form; and that it finds what it looks for."""

import pytest

from tests.peers import require
from tests.stress.__main__ import report, run
from tests.stress.bodies import BASE, DOWN, Check, WrongBody, body
from tests.stress.load import Load, Options
from tests.stress.plan import INGREDIENTS, PEERS, WIRES, Mix


def play(peers: tuple[str, ...], loop: str, requests: int) -> Load:
    said: list[str] = []
    options = Options(requests, patience=0.3, say=said.append)
    options.cycle, options.disturb_every = requests, requests // 12
    load = run(Mix(1, peers, tuple(WIRES)), options, loop)
    report(load, said.append)
    print("\n".join(said))
    assert load.done == requests
    return load


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_our_server(loop: str) -> None:
    load = play(("ours",), loop, 800)
    assert list(load.findings.lines()) == []
    assert load.findings.outcomes["ours http2: answered"] > 50


def test_all_peers() -> None:
    require("nginx")
    require("nghttpd")
    load = play(PEERS, "asyncio", 800)
    assert list(load.findings.lines()) == []
    assert load.findings.outcomes["nginx tls2: answered"] > 20


def test_faults_are_found() -> None:
    """A server that does everything wrong once."""
    peaceful = tuple(INGREDIENTS.keys() - {"context"})
    options = Options(200, workers=10, deadline=2.0, say=print)
    mix = Mix(1, ("ours",), ("http2",), peaceful)
    load = run(mix, options, "asyncio", server="tests.stress.spoiled")
    texts = "\n".join(load.findings.lines())
    assert set(load.findings.counts) == {
        "context", "download", "hang", "left", "loop", "mixed up", "status", "twice",
    }  # fmt: skip
    for text in (
        "wrong from byte",
        "bytes were taken for all",
        "response to request 0",
        "begun 2 times",
        "ours: 1 tasks",
        "LookupError('not on purpose')",
        "500 instead of 200",
        "hold contexts",
    ):
        assert text in texts


# -- what it is made of --------------------------------------------------------------------------


def test_a_body_is_checked() -> None:
    data = body(7, DOWN, 1_000)
    assert data in BASE and data != body(8, DOWN, 1_000)
    check = Check.of(7, DOWN, 1_000)
    check.feed(data[:600])
    check.feed(data[600:])
    check.end()


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([slice(0, 999)], "999 of 1,000 bytes"),
        ([slice(0, 500), slice(501, 1_000)], "wrong from byte 500"),
        ([slice(0, 500), slice(0, 500)], "wrong from byte 500"),
        ([slice(0, 1_000), slice(0, 1)], "1,001 bytes or more"),
        ([], "0 of 1,000 bytes"),
    ],
)
def test_a_wrong_body_is_found(pieces: list[slice], text: str) -> None:
    data = body(7, DOWN, 1_000)
    check = Check.of(7, DOWN, 1_000)
    with pytest.raises(WrongBody, match=text):
        feed_all(check, [data[piece] for piece in pieces])


def feed_all(check: Check, pieces: list[bytes]) -> None:
    for piece in pieces:
        check.feed(piece)
    check.end()


def test_plans_come_from_the_seed_and_the_number() -> None:
    mix = Mix(5, PEERS, tuple(WIRES))
    plans = [mix.plan(number) for number in range(2_000)]
    assert plans == [Mix(5, PEERS, tuple(WIRES)).plan(number) for number in range(2_000)]
    assert plans != [Mix(6, PEERS, tuple(WIRES)).plan(number) for number in range(2_000)]
    assert {plan.wire for plan in plans} == set(WIRES)
    assert {plan.form for plan in plans} == {"bytes", "pieces", "sized", "channel", "expect"}
    assert not any(plan.peer == "nghttpd" and plan.wire in ("http1", "tls1") for plan in plans)


@pytest.mark.parametrize("name", ["cancels", "slow", "uploads", "crashes", "early", "relay"])
def test_ingredients_can_be_left_out(name: str) -> None:
    def used(mix: Mix) -> bool:
        for number in range(3_000):
            plan = mix.plan(number)
            found = {
                "cancels": plan.abandoned,
                "slow": plan.reading in ("slow", "park"),
                "uploads": plan.fail_at >= 0,
                "crashes": plan.kind in ("crash", "crashlate"),
                "early": plan.kind == "early",
                "relay": plan.relayed,
            }
            if found[name]:
                return True
        return False

    assert used(Mix(1, ("ours",), tuple(WIRES)))
    assert not used(Mix(1, ("ours",), tuple(WIRES), (name,)))
