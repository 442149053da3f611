"""The access log: its atoms, what it says of responses that fail, and that nothing is lost."""

import re
import socket
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from cno.asgi.server.access_log import compiled
from tests.processes import PATIENCE
from tests.serve.server import serving

ALL = (
    "%(h)s|%(l)s|%(u)s|%(t)s|%(r)s|%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(b)s|%(B)s|%(f)s|%(a)s|%(T)s|"
    "%(D)s|%(M)s|%(L)s|%(p)s|%({X-In}i)s|%({x-of-app}o)s|%({FROM_TEST}e)s|%({x-no}i)s|100%%"
)


def test_atoms() -> None:
    fields = {"x-in": 'a"b', "referer": "there", "user-agent": "me"}
    with serving("--access-log-format", ALL, environment={"FROM_TEST": "env"}) as served:
        httpx.get(served.url + "/slow?q=1", headers=fields, auth=("ada", "secret"))
        line = served.running.wait_for(".+")[0]
        pid = served.pid
    found = line.split("|")
    assert found[:3] == ["127.0.0.1", "-", "ada"]
    assert re.fullmatch(r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]", found[3])
    assert found[4:10] == ["GET /slow?q=1 HTTP/1.1", "GET", "/slow", "q=1", "HTTP/1.1", "200"]
    assert found[10] == found[11] and int(found[10]) > 50
    assert found[12:15] == ["there", "me", "0"]
    assert 300_000 <= int(found[15]) < 30_000_000 and int(found[16]) >= 300
    assert float(found[17]) >= 0.3
    assert found[18:] == [f"<{pid}>", 'a\\"b', "yes", "env", "-", "100%"]


def test_each_kind_of_response_has_a_line() -> None:
    options = ("--access-log-format", "%(r)s %(s)s")
    with serving(*options, app="tests.serve.apps:kinds") as served:
        assert httpx.get(served.url + "/fails").status_code == 500
        with pytest.raises(httpx.HTTPError):
            httpx.get(served.url + "/half")
        with connect(served.url.replace("http", "ws") + "/socket"):
            pass
    assert sorted(line.strip() for line in served.running.out) == [
        "GET /fails HTTP/1.1 500",
        "GET /half HTTP/1.1 200",
        "GET /socket HTTP/1.1 101",
    ]


def test_the_version_is_that_of_the_request() -> None:
    with serving("--access-log-format", "%(H)s") as served:
        place = served.url.removeprefix("http://").rpartition(":")
        with socket.create_connection((place[0], int(place[2])), PATIENCE) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while client.recv(4096):
                pass
        httpx.get(served.url)
    assert [line.strip() for line in served.running.out] == ["HTTP/1.0", "HTTP/1.1"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_nothing_is_lost_at_the_end(workers: str) -> None:
    with serving("--workers", workers) as served:
        with httpx.Client() as client:
            for _ in range(300):
                client.get(served.url)
    assert len(served.running.out) == 300


def test_a_client_cannot_begin_a_line() -> None:
    formatted: Any = compiled("%(U)s")

    class Record:
        target = '/a%0Ab"?x'

    assert formatted(Record()) == '/a\\x0ab\\"'


@pytest.mark.parametrize("text", ["%(z)s", "%(h)d", "%({x}z)s", "%(h"])
def test_malformed_formats_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"atom|malformed"):
        compiled(text)
