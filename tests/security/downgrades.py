"""HTTP/2 requests that become two, or another one, where they are written as HTTP/1.1: a corpus.

Data only: H2.CL, H2.TE, H2.0, and line breaks or blanks in whatever HTTP/1.1 would write as it is.
Each entry is the fields of a request (and maybe what follows them) that must be refused as
malformed; `VALID` are unusual ones that pass. Sources: RFC 9113 8 and 10.3, and the published
research on attacks by downgrading.
"""

from typing import NamedTuple

from tests.support import Fields, Headers

BASE: Fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]


class Downgrade(NamedTuple):
    name: str
    fields: Fields
    #: Pieces of content behind the head; none: the head ends the stream.
    content: tuple[bytes, ...] | None = None
    trailers: Fields | None = None
    #: Whether the head is delivered before the fault shows, and how much of the content.
    head: bool = False
    data: bytes = b""


class Unusual(NamedTuple):
    fields: Fields
    delivered: Headers
    method: str = "POST"
    path: str = "/"


class Group(NamedTuple):
    name: str
    rule: str
    requests: list[Downgrade]


def plus(*fields: tuple[str | bytes, str | bytes]) -> Fields:
    return [*BASE, *fields]


def but(name: str, value: str | bytes) -> Fields:
    """The usual pseudo-header fields with one of another value."""
    return [(n, value if n == name else v) for n, v in BASE]


def without(name: str) -> Fields:
    return [(n, v) for n, v in BASE if n != name]


LENGTHS = [
    Downgrade("H2.CL: less than was sent", plus(("content-length", "0")), (b"GET / x",), head=True),
    Downgrade("H2.CL: one less", plus(("content-length", "4")), (b"hello",), head=True),
    Downgrade(
        "H2.CL: in the second piece",
        plus(("content-length", "6")),
        (b"hello", b"GET"),
        head=True,
        data=b"hello",
    ),
    Downgrade(
        "more than was sent", plus(("content-length", "6")), (b"hello", b""), None, True, b"hello"
    ),
    Downgrade("more than nothing", plus(("content-length", "5"))),
    Downgrade(
        "more than was sent, trailers",
        plus(("content-length", "6")),
        (b"hello",),
        [("x", "y")],
        True,
        b"hello",
    ),
    Downgrade("two that differ", plus(("content-length", "5"), ("content-length", "6"))),
    *[
        Downgrade(f"content-length {value!r}", plus(("content-length", value)))
        for value in (
            *("", "+0", "-0", "0x0", "0_0", "0, 0", "0,", "x", "00000000000000000000"),
            *("9223372036854775808", "18446744073709551616", "0.0", "\xb2", b"0\0", b"0\r\n"),
        )
    ],
]

CODINGS = [
    Downgrade("H2.TE", plus(("transfer-encoding", "chunked")), (b"0\r\n\r\nGET / x",)),
    Downgrade("H2.TE of nothing", plus(("transfer-encoding", "chunked"))),
    Downgrade("identity", plus(("transfer-encoding", "identity"))),
    Downgrade("empty", plus(("transfer-encoding", ""))),
    Downgrade("in capitals", plus(("Transfer-Encoding", "chunked"))),
    Downgrade("SP behind the name", plus(("transfer-encoding ", "chunked"))),
    Downgrade("SP before the name", plus((" transfer-encoding", "chunked"))),
    Downgrade("colon in the name", plus(("transfer-encoding: chunked\r\nx", "y"))),
    Downgrade("connection", plus(("connection", "transfer-encoding"))),
    Downgrade("connection: close", plus(("connection", "close"))),
    Downgrade("keep-alive", plus(("keep-alive", "timeout=5"))),
    Downgrade("proxy-connection", plus(("proxy-connection", "close"))),
    Downgrade("upgrade", plus(("upgrade", "h2c"))),
    Downgrade("te", plus(("te", "chunked"))),
    Downgrade("te with more", plus(("te", "trailers, chunked"))),
    Downgrade("in trailers", plus(), (b"x",), [("transfer-encoding", "chunked")], True, b"x"),
    Downgrade("te in trailers", plus(), (b"x",), [("te", "chunked")], True, b"x"),
    Downgrade("connection in trailers", plus(), (b"x",), [("connection", "a")], True, b"x"),
]

BREAKS = [
    *[
        Downgrade(f"{octet!r} in a value", plus(("x", b"y" + octet + b"z: a")))
        for octet in (b"\r\n", b"\n", b"\r", b"\0", b"\x0b", b"\x01", b"\x7f")
    ],
    *[
        Downgrade(f"{value!r} as value", plus(("x", value)))
        for value in (b"\r\n", b" \r\ny", b"y\n ", b"\t\0", b" \x0by", b"\x0c", b"y\r\n", b"\0")
    ],
    *[
        Downgrade(f"{name!r} as name", plus((name, "y")))
        for name in (
            *(b"", b"x y", b"x:y", b"x\r\ny", b"x\ny", b"x\ry", b"x\0y", b"X", b"x\t", b" x"),
            *(b"x\r\nhost: b", b"\xff", b"x\x7f", b"x(y", b"x/y", b"x@y", b'"x"'),
        )
    ],
    *[
        Downgrade(f"{path!r} as path", but(":path", path))
        for path in (
            *(
                b"",
                b"x",
                b"*",
                b"?x",
                b"/ HTTP/1.1\r\nX: y",
                b"/ x",
                b"/\t",
                b"/\n",
                b"/\0",
                b"/#x",
                b"/ ",
            ),
            *(b"/\xff", b"/\x7f", b"http://b/", b"//b\r\n", b" /"),
        )
    ],
    *[
        Downgrade(f"{method!r} as method", but(":method", method))
        for method in (b"", b"GET / HTTP/1.1\r\nX: y", b"G T", b"G:T", b"GET ", b"G\0", b"\xff")
    ],
    *[
        Downgrade(f"{authority!r} as authority", but(":authority", authority))
        for authority in (
            *(b"a b", b"a\r\nX: y", b"a/b", b"a?b", b"a#b", b"u@a", b"a:b", b"a:80:80", b"[::1"),
            *(b"\xff", b"a\0", b"a\\b", b":80", b"a%"),
        )
    ],
    *[
        Downgrade(f"{scheme!r} as scheme", but(":scheme", scheme))
        for scheme in (b"", b"http://b/?", b"http ", b"ht\r\ntp", b"1x", b"http:", b"\xff")
    ],
    Downgrade("CRLF in a trailer", plus(), (b"x",), [("x", "y\r\nz: a")], True, b"x"),
    Downgrade("CRLF in a trailer's name", plus(), (b"x",), [("x\r\ny", "z")], True, b"x"),
    Downgrade("capitals in a trailer", plus(), (b"x",), [("X", "z")], True, b"x"),
]

PSEUDO = [
    *[Downgrade(f"no {name}", without(name)) for name in (":method", ":scheme", ":path")],
    *[Downgrade(f"two {name!r}", [(name, value), *BASE]) for name, value in BASE],
    Downgrade("behind a field", [*BASE[:3], ("x", "y"), BASE[3]]),
    Downgrade("unknown", [(":x", "y"), *BASE]),
    Downgrade(":status", [*BASE, (":status", "200")]),
    Downgrade(":host", [*BASE, (":host", "b")]),
    Downgrade(":protocol without CONNECT", [*BASE, (":protocol", "websocket")]),
    Downgrade("in capitals", [(":Method", "GET"), *BASE]),
    Downgrade("in trailers", plus(), (b"x",), [(":path", "/b")], True, b"x"),
    Downgrade(
        "CONNECT with a path", [(":method", "CONNECT"), (":authority", "a:1"), (":path", "/")]
    ),
    Downgrade("CONNECT without authority", [(":method", "CONNECT")]),
]

HOSTS = [
    Downgrade("another", plus(("host", "b"))),
    Downgrade("another port", plus(("host", "a:81"))),
    Downgrade("empty", plus(("host", ""))),
    Downgrade("two that agree", plus(("host", "a"), ("host", "a"))),
    Downgrade("two that differ", plus(("host", "a"), ("host", "b"))),
    Downgrade("two without authority", [*without(":authority"), ("host", "a"), ("host", "b")]),
    Downgrade("bad without authority", [*without(":authority"), ("host", "a b")]),
    Downgrade("with userinfo", plus(("host", "u@a"))),
    Downgrade("in capitals", plus(("Host", "b"))),
]

GROUPS = [
    Group("length", "RFC 9113 8.1.1", LENGTHS),
    Group("coding", "RFC 9113 8.2.2", CODINGS),
    Group("octets", "RFC 9113 8.2.1, 8.3.1, 10.3", BREAKS),
    Group("pseudo-header field", "RFC 9113 8.3", PSEUDO),
    Group("host", "RFC 9113 8.3.1", HOSTS),
]

REFUSED = {f"{g.name} ({g.rule}): {r.name}": r for g in GROUPS for r in g.requests}

_HEAD: Headers = [(":scheme", "http"), (":authority", "a")]

VALID = {
    "length of nothing": Unusual(plus(("content-length", "0")), [*_HEAD, ("content-length", "0")]),
    "equal host": Unusual(plus(("host", "a")), _HEAD),
    "equal host in capitals": Unusual(plus(("host", "A")), _HEAD),
    "host alone": Unusual(
        [*without(":authority"), ("host", "b:1")], [_HEAD[0], (":authority", "b:1")]
    ),
    "no authority": Unusual(without(":authority"), [_HEAD[0]]),
    "te: trailers": Unusual(plus(("te", "trailers")), [*_HEAD, ("te", "trailers")]),
    "blanks around a value": Unusual(plus(("x", " \ty \t")), [*_HEAD, ("x", "y")]),
    "a value of blanks": Unusual(plus(("x", " \t ")), [*_HEAD, ("x", "")]),
    "blanks around a length": Unusual(
        plus(("content-length", " 0\t")), [*_HEAD, ("content-length", "0")]
    ),
    "blanks around a host": Unusual(plus(("host", " a ")), _HEAD),
    "blanks around a host alone": Unusual(
        [*without(":authority"), ("host", "\tb:1 ")], [_HEAD[0], (":authority", "b:1")]
    ),
    "blanks around crumbs": Unusual(
        plus(("cookie", " a"), ("cookie", "b ")), [*_HEAD, ("cookie", "a; b")]
    ),
    "blanks around te": Unusual(plus(("te", " trailers ")), [*_HEAD, ("te", "trailers")]),
    "empty value": Unusual(plus(("x", "")), [*_HEAD, ("x", "")]),
    "encoded CRLF": Unusual(plus(("x", "%0d%0a")), [*_HEAD, ("x", "%0d%0a")]),
    "obs-text": Unusual(plus(("x", b"\xff")), [*_HEAD, ("x", "\udcff")]),
    "tab inside": Unusual(plus(("x", "a\tb")), [*_HEAD, ("x", "a\tb")]),
    "odd name": Unusual(plus(("!#$%&'*+-.^_`|~", "y")), [*_HEAD, ("!#$%&'*+-.^_`|~", "y")]),
    "a request in a value": Unusual(
        plus(("x", "GET / HTTP/1.1")), [*_HEAD, ("x", "GET / HTTP/1.1")]
    ),
    "path of slashes": Unusual(but(":path", "//b/"), _HEAD, path="//b/"),
    "path with a URL": Unusual(but(":path", "/http://b/?x"), _HEAD, path="/http://b/?x"),
    "method in lower case": Unusual(but(":method", "get"), _HEAD, method="get"),
    "method that is odd": Unusual(but(":method", "!"), _HEAD, method="!"),
    "another scheme": Unusual(but(":scheme", "ftp+x"), [(":scheme", "ftp+x"), _HEAD[1]]),
    "crumbs": Unusual(plus(("cookie", "a"), ("cookie", "b")), [*_HEAD, ("cookie", "a; b")]),
    "pseudo-header fields in another order": Unusual(BASE[::-1], _HEAD),
    "asterisk": Unusual(
        [(":method", "OPTIONS"), *BASE[1:3], (":path", "*")], _HEAD, "OPTIONS", "*"
    ),
}
