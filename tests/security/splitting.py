"""A corpus of responses by which a server may attack a client, or clients behind it.

Data only: `REFUSED` are responses to one request that must end the connection, `VALID` unusual ones
with exactly what they mean. Sources: RFC 9112 6.3, 9.2 and 11.1, and reports on response splitting
and on the poisoning of response queues. Bodies in chunks are those of `smuggling`.
"""

from typing import NamedTuple

from tests.security.smuggling import CHUNKS
from tests.support import Headers

NONE: Headers = []


class Bad(NamedTuple):
    name: str
    data: bytes
    method: str = "GET"
    #: What is delivered in front of the fault: codes of heads, and the body.
    heads: tuple[int, ...] = ()
    body: bytes = b""
    #: Whether a whole response precedes the fault.
    whole: bool = False


class Group(NamedTuple):
    name: str
    rule: str
    responses: list[Bad]


class Good(NamedTuple):
    data: bytes
    code: int = 200
    fields: Headers = NONE
    body: bytes = b""
    trailers: Headers | None = None
    method: str = "GET"
    #: Codes of informational responses in front.
    interim: tuple[int, ...] = ()
    #: The body ends with the connection.
    until_close: bool = False


def ok(*lines: bytes, body: bytes = b"", first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return first + b"\r\n" + b"".join(x + b"\r\n" for x in lines) + b"\r\n" + body


def cl(value: bytes, *lines: bytes, body: bytes = b"hello") -> bytes:
    return ok(b"Content-Length:" + value, *lines, body=body)


def te(value: bytes, *lines: bytes, body: bytes = b"0\r\n\r\n") -> bytes:
    return ok(b"Transfer-Encoding:" + value, *lines, body=body)


def line(first: bytes) -> bytes:
    return ok(b"Content-Length: 0", first=first)


SPLIT = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"

FRAMING = [
    Bad("CL and TE", cl(b" 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nG")),
    Bad("TE and CL", te(b" chunked", b"Content-Length: 4")),
    Bad("TE and CL 0", te(b" chunked", b"Content-Length: 0")),
    Bad("CL and a TE that is none", cl(b" 5", b"Transfer-Encoding: xchunked")),
    Bad("CL and TE identity", cl(b" 5", b"Transfer-Encoding: identity")),
    Bad("two CL that differ", cl(b" 5", b"Content-Length: 0")),
    Bad("two CL that agree", cl(b" 5", b"Content-Length: 5")),
    Bad("a list that agrees", cl(b" 5, 5")),
    Bad("a list that differs", cl(b" 5, 6")),
    *[
        Bad(f"CL{value!r}", cl(value))
        for value in (
            *(b"", b" +5", b" -5", b" 0x5", b" 5_0", b" 5.0", b" 5,", b" 5 5", b" \x0b5", b" 5\0"),
            *(b" 9223372036854775808", b" 18446744073709551621", b" 00000000000000000005", b" x"),
        )
    ],
    Bad("TE twice", te(b" chunked, chunked")),
    Bad("TE in two lines", te(b" chunked", b"Transfer-Encoding: chunked")),
    Bad("TE with a comma", te(b" ,chunked")),
    Bad("TE and an empty one", te(b" chunked", b"Transfer-Encoding:")),
    Bad("gzip, chunked", te(b" gzip, chunked")),
    Bad("TE in HTTP/1.0", ok(b"Transfer-Encoding: chunked", first=b"HTTP/1.0 200 OK")),
    Bad("folded TE", te(b"\r\n chunked")),
    Bad("SP before colon", ok(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n")),
    Bad("TE behind VT", te(b" \x0bchunked")),
]

LINES = [
    *[
        Bad(f"{first!r}", line(first))
        for first in (
            *(b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 2x0 OK", b"HTTP/1.1 +20 OK"),
            *(b"HTTP/1.1 099 OK", b"HTTP/1.1 000 OK", b"HTTP/1.1 -20 OK", b"HTTP/1.1 200OK"),
            *(b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK", b"HTTP/1.1 200\tOK", b"HTTP/1.1 OK"),
            *(b"HTTP/1.1", b"HTTP/1.1 ", b"http/1.1 200 OK", b"HTTP/1 200 OK", b"HTTP/1.1x 200 OK"),
            *(b"HTTP/2 200 OK", b"HTTP/2.0 200 OK", b"HTTP/0.9 200 OK", b"HTTP/1.10 200 OK"),
            *(b"ICY 200 OK", b"200 OK", b" HTTP/1.1 200 OK", b"\tHTTP/1.1 200 OK", b"\0"),
            *(
                b"HTTP/1.1 200 O\0K",
                b"HTTP/1.1 200 O\rK",
                b"HTTP/1.1 200 \x7f",
                b"HTTP/1.1 200 \x0b",
            ),
            *(b"HTTP/1.1 200 OK\r", b"GET / HTTP/1.1", b"<html>", b"HTTP/1.1 \xd9\xa2\xd9\xa0 x"),
        )
    ],
    Bad("empty line before", b"\r\n" + SPLIT),
    Bad("LF behind the status line", b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"),
    Bad("LF everywhere", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    Bad("LF as the end", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n"),
    Bad("CR behind the status line", b"HTTP/1.1 200 OK\rContent-Length: 0\r\n\r\n"),
]

FIELDS = [
    *[
        Bad(f"{field!r}", ok(field, b"Content-Length: 0"))
        for field in (
            *(b"X : y", b"X\t: y", b" X: y", b"\tX: y", b": y", b"X", b"X Y: z", b"X\0: y"),
            *(
                b"X(: y",
                b"X: \0",
                b"X: y\rz",
                b"X: y\nz",
                b"X: \x7f\0",
                b"X: \x01\r",
                b"X: y\r\n z",
            ),
            *(b"Host: \x01", b"Connection: \x0bclose", b"Keep-Alive: \x7f", b"Upgrade: \x0c"),
            *(b"Set-Cookie: a=b\rSet-Cookie: c=d", b"X: y\r\n\tz", b"\xc3\xa9: x", b":status: 200"),
        )
    ],
    Bad("HTTP/1.1 200 OK again", ok(b"HTTP/1.1 200 OK", b"Content-Length: 0")),
]

UNASKED = [
    Bad("a second response", cl(b" 5") + SPLIT, "GET", (200,), b"hello", True),
    Bad("behind the last chunk", te(b" chunked") + SPLIT, "GET", (200,), b"", True),
    Bad("behind content of length 0", cl(b" 0", body=b"") + SPLIT, "GET", (200,), b"", True),
    Bad("more than the length", cl(b" 4"), "GET", (200,), b"hell", True),
    Bad("an empty line", cl(b" 5") + b"\r\n", "GET", (200,), b"hello", True),
    Bad("one LF", cl(b" 5") + b"\n", "GET", (200,), b"hello", True),
    Bad("one NUL", te(b" chunked") + b"\0", "GET", (200,), b"", True),
    Bad("a second end", te(b" chunked", body=b"0\r\n\r\n0\r\n\r\n"), "GET", (200,), b"", True),
    Bad("content of HEAD", cl(b" 5"), "HEAD", (200,), b"", True),
    Bad("chunks of HEAD", te(b" chunked"), "HEAD", (200,), b"", True),
    Bad("a response as content of HEAD", cl(b" 44", body=SPLIT), "HEAD", (200,), b"", True),
    Bad(
        "content of 204",
        ok(b"Content-Length: 5", body=b"hello", first=b"HTTP/1.1 204 x"),
        "GET",
        (204,),
        b"",
        True,
    ),
    Bad(
        "chunks of 204",
        ok(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", first=b"HTTP/1.1 204 x"),
        "GET",
        (204,),
        b"",
        True,
    ),
    Bad(
        "content of 304",
        ok(b"Content-Length: 44", body=SPLIT, first=b"HTTP/1.1 304 x"),
        "GET",
        (304,),
        b"",
        True,
    ),
    Bad("a late 100", cl(b" 5") + ok(first=b"HTTP/1.1 100 x"), "GET", (200,), b"hello", True),
]

INTERIM = [
    Bad("17 of 100", ok(first=b"HTTP/1.1 100 x") * 17, "GET", (100,) * 16),
    Bad("17 of any", ok(first=b"HTTP/1.1 199 x") * 17, "GET", (199,) * 16),
    Bad("101 unasked", ok(b"Upgrade: x", b"Connection: upgrade", first=b"HTTP/1.1 101 x")),
    Bad("101 of h2c unasked", ok(b"Upgrade: h2c", b"Connection: upgrade", first=b"HTTP/1.1 101 x")),
    Bad("101 without Upgrade", ok(first=b"HTTP/1.1 101 x")),
    Bad(
        "content of 103",
        ok(b"Content-Length: 5", body=b"hello", first=b"HTTP/1.1 103 x"),
        "GET",
        (103,),
    ),
    Bad("a bad length of 103", ok(b"Content-Length: x", first=b"HTTP/1.1 103 x")),
]

GROUPS = [
    Group("framing", "RFC 9112 6.1, 6.3", FRAMING),
    Group("status line", "RFC 9112 4", LINES),
    Group("field", "RFC 9112 5", FIELDS),
    Group("unasked", "RFC 9112 9.2, 6.3", UNASKED),
    Group("informational", "RFC 9110 15.2, 7.8", INTERIM),
]

#: Behind the end of a body with a fault in front of it nothing would be left to refuse.
_CHUNKED = [
    Bad(name, te(b" chunked", body=body) + SPLIT, "GET", (200,))
    for name, body in CHUNKS.items()
    if name != "a second end"
]

REFUSED = {f"{g.name} ({g.rule}): {r.name}": r for g in GROUPS for r in g.responses}
REFUSED_CHUNKS = {f"chunk (RFC 9112 7.1): {r.name}": r for r in _CHUNKED}

CL5: Headers = [("content-length", "5")]

VALID = {
    "no reason": Good(line(b"HTTP/1.1 200"), fields=[("content-length", "0")]),
    "empty reason": Good(line(b"HTTP/1.1 200 "), fields=[("content-length", "0")]),
    "blank reason": Good(line(b"HTTP/1.1 200   "), fields=[("content-length", "0")]),
    "reason of obs-text": Good(line(b"HTTP/1.1 200 \xff\t\xe9"), fields=[("content-length", "0")]),
    "HTTP/1.9": Good(line(b"HTTP/1.9 200 OK"), fields=[("content-length", "0")]),
    "299": Good(line(b"HTTP/1.1 299 x"), 299, [("content-length", "0")]),
    "599": Good(line(b"HTTP/1.1 599 x"), 599, [("content-length", "0")]),
    "999": Good(line(b"HTTP/1.1 999 x"), 999, [("content-length", "0")]),
    "a length": Good(cl(b" 5"), fields=CL5, body=b"hello"),
    "no blank": Good(ok(b"content-length:5", body=b"hello"), fields=CL5, body=b"hello"),
    "a response as content": Good(
        cl(b" 44", body=SPLIT), fields=[("content-length", "44")], body=SPLIT
    ),
    "until the end": Good(ok(body=b"hello"), body=b"hello", until_close=True),
    "nothing until the end": Good(ok(), until_close=True),
    "a response as content until the end": Good(ok(body=SPLIT), body=SPLIT, until_close=True),
    "gzip until the end": Good(te(b" gzip", body=b"hello"), body=b"hello", until_close=True),
    "chunked, gzip until the end": Good(te(b" chunked, gzip"), body=b"0\r\n\r\n", until_close=True),
    "HTTP/1.0 until the end": Good(
        ok(body=b"hello", first=b"HTTP/1.0 200 OK"), body=b"hello", until_close=True
    ),
    "HTTP/1.0 with a length": Good(
        ok(b"Content-Length: 5", body=b"hello", first=b"HTTP/1.0 200 OK"), fields=CL5, body=b"hello"
    ),
    "HTTP/1.0 that keeps alive": Good(
        ok(
            b"Content-Length: 5",
            b"Connection: keep-alive",
            body=b"hello",
            first=b"HTTP/1.0 200 OK",
        ),
        fields=CL5,
        body=b"hello",
    ),
    "chunks": Good(te(b" Chunked", body=b"5\r\nhello\r\n0\r\n\r\n"), body=b"hello"),
    "trailers": Good(te(b" chunked", body=b"0\r\nX: y\r\n\r\n"), trailers=[("x", "y")]),
    "extensions": Good(te(b" chunked", body=b'5;a="\\""\r\nhello\r\n0;b\r\n\r\n'), body=b"hello"),
    "100 before": Good(
        ok(first=b"HTTP/1.1 100 Continue") + cl(b" 5"), fields=CL5, body=b"hello", interim=(100,)
    ),
    "103 twice before": Good(
        ok(b"Link: <x>", first=b"HTTP/1.1 103 x") * 2 + cl(b" 0", body=b""),
        fields=[("content-length", "0")],
        interim=(103, 103),
    ),
    "16 before": Good(
        ok(first=b"HTTP/1.1 102 x") * 16 + te(b" chunked"),
        interim=(102,) * 16,
    ),
    "a length in 103": Good(
        ok(b"Content-Length: 5", first=b"HTTP/1.1 103 x") + cl(b" 5"),
        fields=CL5,
        body=b"hello",
        interim=(103,),
    ),
    "204": Good(ok(first=b"HTTP/1.1 204 x"), 204),
    "204 with a length": Good(ok(b"Content-Length: 5", first=b"HTTP/1.1 204 x"), 204, CL5),
    "204 with a coding": Good(ok(b"Transfer-Encoding: chunked", first=b"HTTP/1.1 204 x"), 204),
    "304 with a length": Good(ok(b"Content-Length: 5", first=b"HTTP/1.1 304 x"), 304, CL5),
    "304 with a coding": Good(ok(b"Transfer-Encoding: chunked", first=b"HTTP/1.1 304 x"), 304),
    "HEAD with a length": Good(cl(b" 5", body=b""), fields=CL5, method="HEAD"),
    "HEAD with a coding": Good(te(b" chunked", body=b""), method="HEAD"),
    "HEAD with neither": Good(ok(), method="HEAD"),
    "205": Good(ok(b"Content-Length: 0", first=b"HTTP/1.1 205 x"), 205, [("content-length", "0")]),
    "close and more": Good(cl(b" 5", b"Connection: close") + SPLIT, fields=CL5, body=b"hello"),
    "Close in a list, and more": Good(
        te(b" chunked", b"Connection: x, Close") + b"\0\0\0", body=b""
    ),
    "two cookies": Good(
        ok(b"Set-Cookie: a", b"Set-Cookie: b", b"Content-Length: 0"),
        fields=[("set-cookie", "a"), ("set-cookie", "b"), ("content-length", "0")],
    ),
    "two Host": Good(
        ok(b"Host: a", b"Host: b", b"Content-Length: 0"),
        fields=[("host", "a"), ("host", "b"), ("content-length", "0")],
    ),
    "hop-by-hop fields": Good(
        ok(b"Connection: X", b"X: 1", b"Keep-Alive: 5", b"Content-Length: 0"),
        fields=[("content-length", "0")],
    ),
    "encoded CRLF": Good(
        ok(b"Location: /%0d%0aX: y", b"Content-Length: 0"),
        fields=[("location", "/%0d%0aX: y"), ("content-length", "0")],
    ),
}
