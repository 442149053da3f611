"""The hosts that a local server answers for: local names and addresses, no names of DNS."""

import pytest

from cno.cli.hosts import Hosts, are_loopback
from tests.rows import each_row


@each_row(
    "authority",
    [
        *("", "localhost", "localhost:8000", "LocalHost.", "a.b.localhost", "127.0.0.1:1", "::1"),
        *("[::1]", "[::1]:8000", "10.0.0.1", "[fe80::1]", "my.host", "MY.host:1", "x.test"),
        *("a.x.test", "a.x.test.:80"),
    ],
)
def test_allowed(authority: str) -> None:
    hosts = Hosts(["My.Host.", ".x.test"])
    for _ in range(2):
        assert hosts.allow(authority)


@each_row(
    "authority",
    [
        *("evil.example", "localhost.evil.example", "evillocalhost", "127.0.0.1.evil.example"),
        *("not-my.host", "a.my.host", "evilx.test", "2130706433", "0x7f.1", "127.1", "[::1].evil"),
        *("[localhost]x", "[evil]", "test"),
    ],
)
def test_refused(authority: str) -> None:
    hosts = Hosts(["My.Host.", ".x.test"])
    for _ in range(2):
        assert not hosts.allow(authority)


def test_names_beyond_ascii() -> None:
    hosts = Hosts(["B\u00fccher.example", ".\u00e9.test"])
    for authority in ("xn--bcher-kva.example", "XN--9ca.test:1", "a.xn--9ca.test"):
        assert hosts.allow(authority)
    with pytest.raises(ValueError, match="not a host name"):
        Hosts(["\u00e9" * 100])


def test_any() -> None:
    assert Hosts(["*"]).allow("evil.example")


def test_a_flood_of_names_is_not_remembered() -> None:
    hosts = Hosts()
    assert all(hosts.allow(f"{number}.localhost") for number in range(2_000))
    assert not hosts.allow("2000.example")


@each_row(
    ("addresses", "verdict"),
    [
        (["127.0.0.1"], True),
        (["127.0.0.1", "::1"], True),
        (["127.9.9.9"], True),
        (["::ffff:127.0.0.1"], True),
        (["0.0.0.0"], False),  # the point
        (["127.0.0.1", "::"], False),
        (["192.168.1.2"], False),
        (["fe80::1%eth0"], False),
    ],
)
def test_loopback(addresses: list[str], verdict: bool) -> None:
    assert are_loopback(addresses) is verdict
