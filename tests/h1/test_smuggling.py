"""Request smuggling and response splitting by table, and the odd but valid things beside them.

Each entry of REFUSED is what an attacker sends to have the end of a message seen elsewhere than we
see it (RFC 9112 11.1, 11.2). It is given whole, byte by byte and cut in two everywhere; each time
the answer has that status, the connection ends, and the request behind it is never delivered.
"""

from typing import NamedTuple

import pytest

from tests.h1.wire import FIELDS, SMUGGLED, accepted, refused
from tests.support import Event, Headers


class Attack(NamedTuple):
    name: str
    data: bytes
    status: int | tuple[int, ...] = 400
    #: Requests delivered before the fault shows: the faulty one, and those in front of it.
    heads: int = 0


def post(*lines: bytes, body: bytes = b"", first: bytes = b"POST / HTTP/1.1") -> bytes:
    """A POST with Host: a and these lines, each of them ended by CRLF here."""
    return first + b"\r\nHost: a\r\n" + b"".join(x + b"\r\n" for x in lines) + b"\r\n" + body


def te(value: bytes, *lines: bytes, body: bytes = b"0\r\n\r\n") -> bytes:
    return post(b"Transfer-Encoding:" + value, *lines, body=body)


def cl(value: bytes, *lines: bytes, body: bytes = b"hello") -> bytes:
    return post(b"Content-Length:" + value, *lines, body=body)


def chunked(body: bytes) -> bytes:
    return te(b" chunked", body=body)


HIDDEN = b"GPOST / HTTP/1.1\r\nHost: a\r\n\r\n"

CL_AND_TE = [
    Attack("CL.TE", cl(b" 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nG")),
    Attack("TE.CL", te(b" chunked", b"Content-Length: 4", body=b"5c\r\nGPOST / HTTP/1.1\r\n")),
    Attack("CL.TE long", cl(b" 35", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + HIDDEN)),
    Attack("TE.CL.TE", te(b" chunked", b"Content-Length: 4", b"Transfer-Encoding: x")),
    Attack("CL 0 and TE", cl(b" 0", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    Attack("TE and empty CL", te(b" chunked", b"Content-Length:")),
    Attack("TE and bad CL", te(b" chunked", b"Content-Length: x")),
    Attack("CL and TE identity", cl(b" 5", b"Transfer-Encoding: identity")),
    Attack("CL and empty TE", cl(b" 5", b"Transfer-Encoding:")),
    Attack("CL and TE in lower case", cl(b"5", b"transfer-encoding:chunked", body=b"0\r\n\r\n")),
    Attack("CL and TE in upper case", cl(b"5", b"TRANSFER-ENCODING:CHUNKED", body=b"0\r\n\r\n")),
    Attack("CL and TE far apart", cl(b" 5", b"A: b", b"C: d", b"Transfer-Encoding: chunked")),
    Attack(
        "CL and TE in a GET",
        post(b"Content-Length: 5", b"Transfer-Encoding: chunked", first=b"GET / HTTP/1.1"),
    ),
    Attack(
        "CL and TE hidden by Connection",
        cl(b" 5", b"Connection: content-length", b"Transfer-Encoding: chunked"),
    ),
    Attack("CL and gzip", cl(b" 5", b"Transfer-Encoding: gzip")),
    Attack("CL and gzip, chunked", cl(b" 5", b"Transfer-Encoding: gzip, chunked"), (400, 501)),
]

TE_TE = [
    Attack("xchunked", te(b" xchunked")),
    Attack("chunkedx", te(b" chunkedx")),
    Attack("chunk", te(b" chunk")),
    Attack("VT chunked", te(b" \x0bchunked")),
    Attack("FF chunked", te(b" \x0cchunked")),
    Attack("chunked VT", te(b" chunked\x0b")),
    Attack("NUL chunked", te(b" \0chunked")),
    Attack("chunked NUL", te(b" chunked\0")),
    Attack("NBSP chunked", te(b" \xa0chunked")),
    Attack("chunked NBSP", te(b" chunked\xa0")),
    Attack("NEL chunked", te(b" \x85chunked")),
    Attack("Kelvin sign", te(b" chun\xe2\x84\xaaed")),
    Attack("quoted", te(b' "chunked"')),
    Attack("single quotes", te(b" 'chunked'")),
    Attack("parameter", te(b" chunked;q=1")),
    Attack("parameter 0", te(b" chunked;q=0")),
    Attack("empty parameter", te(b" chunked;")),
    Attack("comma identity", te(b" chunked, identity")),
    Attack("twice", te(b" chunked, chunked")),
    Attack("twice, two lines", te(b" chunked", b"Transfer-Encoding: chunked")),
    Attack("chunked then cow", te(b" chunked", b"Transfer-Encoding: cow")),
    Attack("chunked then identity", te(b" chunked", b"Transfer-encoding: identity")),
    Attack("identity then chunked", te(b" identity", b"Transfer-Encoding: chunked"), (400, 501)),
    Attack("identity", te(b" identity")),
    Attack("empty", te(b"")),
    Attack("a comma", te(b" ,")),
    Attack("blank separated", te(b" identity chunked")),
    Attack("folded", te(b"\r\n chunked")),
    Attack("folded with tab", te(b"\r\n\tchunked")),
    Attack("bare LF before", te(b"\n chunked")),
    Attack("folded into another", post(b"X: y\r\n Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    Attack("bare LF in another", post(b"X: y\nTransfer-Encoding: chunked", body=b"0\r\n\r\n")),
    Attack("bare CR in another", post(b"X: y\rTransfer-Encoding: chunked", body=b"0\r\n\r\n")),
    Attack("bare LF behind", post(b"Transfer-Encoding: chunked\nX: y", body=b"0\r\n\r\n")),
    Attack("bare CR behind", te(b" chunked\r", body=b"0\r\n\r\n")),
    Attack("SP before colon", post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n")),
    Attack("HTAB before colon", post(b"Transfer-Encoding\t: chunked", body=b"0\r\n\r\n")),
    Attack("VT before colon", post(b"Transfer-Encoding\x0b: chunked", body=b"0\r\n\r\n")),
    Attack("NUL before colon", post(b"Transfer-Encoding\0: chunked", body=b"0\r\n\r\n")),
    Attack("NBSP before colon", post(b"Transfer-Encoding\xa0: chunked", body=b"0\r\n\r\n")),
    Attack("SP before name", post(b" Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    Attack("HTAB before name", post(b"X: y", b"\tTransfer-Encoding: chunked", body=b"0\r\n\r\n")),
    Attack("BOM before name", post(b"\xef\xbb\xbfTransfer-Encoding: chunked", body=b"0\r\n\r\n")),
    Attack("no colon", post(b"Transfer-Encoding chunked", body=b"0\r\n\r\n")),
    Attack("two colons", te(b": chunked")),
    Attack("equals sign", post(b"Transfer-Encoding= chunked", body=b"0\r\n\r\n")),
    Attack("blank in name", post(b"Transfer Encoding: chunked", body=b"0\r\n\r\n")),
    Attack("gzip, chunked", te(b" gzip, chunked"), 501),
    Attack("gzip", te(b" gzip")),
    Attack("gzip and chunked, two lines", te(b" gzip", b"Transfer-Encoding: chunked"), 501),
    Attack(
        "HTTP/1.0", post(b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.0", body=b"0\r\n\r\n")
    ),
    Attack(
        "HTTP/1.0 that keeps alive",
        post(
            b"Transfer-Encoding: chunked",
            b"Connection: keep-alive",
            first=b"POST / HTTP/1.0",
            body=b"0\r\n\r\n",
        ),
    ),
]

LENGTHS = [
    Attack("two that differ", cl(b" 5", b"Content-Length: 0")),
    Attack("two that differ, turned", cl(b" 0", b"Content-Length: 5")),
    Attack("two that agree", cl(b" 5", b"Content-Length: 5")),
    Attack("a list that agrees", cl(b" 5, 5")),
    Attack("a list that differs", cl(b" 5, 0")),
    Attack("plus", cl(b" +5")),
    Attack("minus", cl(b" -5")),
    Attack("minus zero", cl(b" -0")),
    Attack("hexadecimal", cl(b" 0x5")),
    Attack("underscore", cl(b" 1_0")),
    Attack("fraction", cl(b" 5.0")),
    Attack("exponent", cl(b" 5e0")),
    Attack("empty", cl(b"")),
    Attack("blank inside", cl(b" 1 0")),
    Attack("letters", cl(b" five")),
    Attack("letters behind", cl(b" 5abc")),
    Attack("quoted", cl(b' "5"')),
    Attack("VT behind", cl(b" 5\x0b")),
    Attack("VT before", cl(b" \x0b5")),
    Attack("NUL behind", cl(b" 5\0")),
    Attack("NBSP behind", cl(b" 5\xa0")),
    Attack("superscript", cl(b" \xb2")),
    Attack("arabic digit", cl(b" \xd9\xa5")),
    Attack("fullwidth digit", cl(b" \xef\xbc\x95")),
    Attack("2^63", cl(b" 9223372036854775808")),
    Attack("2^64 + 5", cl(b" 18446744073709551621")),
    Attack("2^32 + 5, very long", cl(b" " + b"4294967301" * 5)),
    Attack("folded", cl(b" 5\r\n 0")),
    Attack("SP before colon", post(b"Content-Length : 5", body=b"hello")),
    Attack("NUL in name", post(b"Content\0Length: 5", body=b"hello")),
    Attack("bare CR in name", post(b"\rContent-Length: 5", body=b"hello")),
    Attack("bare LF in value", post(b"Content-Length: 5\nContent-Length: 0", body=b"hello")),
    Attack("comma behind", cl(b" 5,")),
    Attack(
        "in HTTP/1.0 twice",
        post(b"Content-Length: 5", b"Content-Length: 6", first=b"GET / HTTP/1.0"),
    ),
]

LINES = [
    Attack("LF behind the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    Attack("LF behind a field", b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
    Attack("LF as the end", b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    Attack("LF everywhere", b"GET / HTTP/1.1\nHost: a\n\n"),
    Attack("CR behind the request line", b"GET / HTTP/1.1\rHost: a\r\n\r\n"),
    Attack("CR CR LF", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    Attack("CR in the target", b"GET /\rX: y HTTP/1.1\r\nHost: a\r\n\r\n"),
    Attack("NUL in the target", b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
    Attack("SP in the target", b"GET /x HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n"),
    Attack("HTAB for SP", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    Attack("VT for SP", b"GET\x0b/\x0bHTTP/1.1\r\nHost: a\r\n\r\n"),
    Attack("two SP", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Attack("SP behind", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    Attack("SP before", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Attack("HTTP/0.9", b"GET /\r\n\r\n"),
    Attack("HTTP/0.9 with fields", b"GET /\r\nHost: a\r\n\r\n"),
    Attack("HTTP/1.1 in lower case", b"GET / http/1.1\r\nHost: a\r\n\r\n"),
    Attack("HTTP/1.10", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    Attack("HTTP/01.1", b"GET / HTTP/01.1\r\nHost: a\r\n\r\n"),
    Attack("HTTP/1.1 with NUL", b"GET / HTTP/1.1\0\r\nHost: a\r\n\r\n"),
    Attack("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    Attack("HTTP/0.9 by name", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
    Attack("colon first", b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n"),
    Attack("no colon", b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"),
    Attack("a request line among fields", b"GET / HTTP/1.1\r\nHost: a\r\nGET / HTTP/1.1\r\n\r\n"),
    Attack("first field folded", b"GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n"),
    Attack("blank line that is none", b"GET / HTTP/1.1\r\nHost: a\r\n \r\nX: y\r\n\r\n"),
    Attack("CR in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n"),
    Attack("NUL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n"),
    Attack("response to a server", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
]

HOSTS = [
    Attack("none", b"GET / HTTP/1.1\r\n\r\n"),
    Attack("two that differ", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    Attack("two that agree", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    Attack("second one hidden by SP", b"GET / HTTP/1.1\r\nHost: a\r\nHost : b\r\n\r\n"),
    Attack("second one folded", b"GET / HTTP/1.1\r\nHost: a\r\n Host: b\r\n\r\n"),
    Attack("absolute-form and two", b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    Attack("absolute-form and none", b"GET http://a/ HTTP/1.1\r\n\r\n"),
    Attack("userinfo", b"GET / HTTP/1.1\r\nHost: b@a\r\n\r\n"),
    Attack("userinfo in the target", b"GET http://b@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    Attack("path", b"GET / HTTP/1.1\r\nHost: a/../b\r\n\r\n"),
    Attack("blank", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    Attack("backslash", b"GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n"),
    Attack("port that is none", b"GET / HTTP/1.1\r\nHost: a:80@b\r\n\r\n"),
    Attack("fragment in the target", b"GET /#@b HTTP/1.1\r\nHost: a\r\n\r\n"),
    Attack("authority-form of GET", b"GET b:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    Attack("origin-form of CONNECT", b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Attack("no slash", b"GET @b/x HTTP/1.1\r\nHost: a\r\n\r\n"),
]

CHUNKS = [
    Attack("0x", chunked(b"0x5\r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("plus", chunked(b"+5\r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("minus", chunked(b"-5\r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("underscore", chunked(b"0_5\r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("SP before", chunked(b" 5\r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("SP behind", chunked(b"5 \r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("HTAB behind", chunked(b"5\t\r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("empty size", chunked(b"\r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("2^64", chunked(b"10000000000000000\r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("2^64 + 5", chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("2^64 - 1", chunked(b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("2^63", chunked(b"8000000000000000\r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("TERM.EXT: LF in extension", chunked(b"5;\nxhello\r\n0\r\n\r\n"), heads=1),
    Attack("EXT.TERM: LF in extension", chunked(b"2;\nxx\r\n4c\r\n0\r\n\r\n"), heads=1),
    Attack("TERM.EXT: CR in extension", chunked(b"5;a\rb\r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("LF in a quoted extension", chunked(b'5;a="\n"\r\nhello\r\n0\r\n\r\n'), heads=1),
    Attack("CRLF in a quoted extension", chunked(b'5;a="\r\n0\r\n\r\n' + HIDDEN), heads=1),
    Attack("NUL in an extension", chunked(b"5;a\0\r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("no semicolon", chunked(b"5 a\r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("empty extension", chunked(b"5;\r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("LF behind the size", chunked(b"5\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("CR behind the size", chunked(b"5\rhello\r\n0\r\n\r\n"), heads=1),
    Attack("CR CR LF behind the size", chunked(b"5\r\r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("LF behind the data", chunked(b"5\r\nhello\n0\r\n\r\n"), heads=1),
    Attack("two other octets behind the data", chunked(b"5\r\nhelloXX0\r\n\r\n"), heads=1),
    Attack("nothing behind the data", chunked(b"5\r\nhello0\r\n\r\n"), heads=1),
    Attack("data longer than its size", chunked(b"4\r\nhello\r\n0\r\n\r\n"), heads=1),
    Attack("LF behind the last chunk", chunked(b"5\r\nhello\r\n0\n\r\n"), heads=1),
    Attack("LF as the end", chunked(b"5\r\nhello\r\n0\r\n\n"), heads=1),
    Attack("CR X as the end", chunked(b"5\r\nhello\r\n0\r\n\rX"), heads=1),
    Attack("LF in a trailer", chunked(b"0\r\nX: y\nZ: a\r\n\r\n"), heads=1),
    Attack("folded trailer", chunked(b"0\r\nX: y\r\n z\r\n\r\n"), heads=1),
    Attack("a request as trailer", chunked(b"0\r\n" + HIDDEN), heads=1),
    Attack("length in trailers", chunked(b"0\r\nContent-Length: 5\r\n\r\n"), heads=1),
    Attack("coding in trailers", chunked(b"0\r\nTransfer-Encoding: chunked\r\n\r\n"), heads=1),
    Attack("host in trailers", chunked(b"0\r\nHost: b\r\n\r\n"), heads=1),
    Attack("blank before colon in trailers", chunked(b"0\r\nX : y\r\n\r\n"), heads=1),
    Attack("a second end", chunked(b"0\r\n\r\n0\r\n\r\n"), heads=1),
]

BEHIND = [
    Attack("more than the length", cl(b" 5", body=b"hello, world\r\n\r\n"), heads=1),
    Attack("body without framing", post(body=b"a=b\r\n\r\n"), heads=1),
    Attack("body without framing, GET", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n0\r\n\r\n", heads=1),
    Attack(
        "coding spelt otherwise", post(b"Transfer_Encoding: chunked", body=b"0\r\n\r\n"), heads=1
    ),
    Attack("length spelt otherwise", post(b"Content_Length: 5", body=b"hello\r\n\r\n"), heads=1),
    Attack(
        "coding in an unknown field",
        post(b"X-Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        heads=1,
    ),
    Attack("length zero and a body", cl(b" 0", body=b"GP\0ST\r\n\r\n"), heads=1),
    Attack("LF behind a body", cl(b" 5", body=b"hello\n"), heads=1),
    Attack("NUL behind a body", cl(b" 5", body=b"hello\0"), heads=1),
]

REFUSED = {
    f"{group}: {attack.name}": attack
    for group, attacks in (
        ("CL and TE", CL_AND_TE),
        ("Transfer-Encoding", TE_TE),
        ("Content-Length", LENGTHS),
        ("line", LINES),
        ("Host", HOSTS),
        ("chunk", CHUNKS),
        ("behind", BEHIND),
    )
    for attack in attacks
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    attack = REFUSED[name]
    refused(attack.data + SMUGGLED, attack.status, heads=attack.heads)


def test_the_table_is_long_enough() -> None:
    assert len(REFUSED) >= 100
    assert len(VALID) >= 40


# -- valid -----------------------------------------------------------------------------------------


class Valid(NamedTuple):
    data: bytes
    method: str = "GET"
    path: str = "/"
    fields: Headers = FIELDS
    body: bytes = b""
    trailers: Headers | None = None


def field(line: bytes, name: str, value: str) -> Valid:
    data = b"GET / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n"
    return Valid(data, fields=[*FIELDS, (name, value)])


def hosted(host: str) -> Valid:
    data = b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n"
    return Valid(data, fields=[(":scheme", "http"), (":authority", host)])


def target(text: str, method: str = "GET") -> Valid:
    return Valid(f"{method} {text} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), method, text)


def body(
    wire: bytes, data: bytes, trailers: Headers | None = None, value: bytes = b" chunked"
) -> Valid:
    return Valid(te(value, body=wire), "POST", body=data, trailers=trailers)


def length(value: bytes, data: bytes, method: str = "POST") -> Valid:
    wire = post(b"Content-Length:" + value, body=data, first=method.encode() + b" / HTTP/1.1")
    text = value.strip().decode()
    return Valid(wire, method, fields=[*FIELDS, ("content-length", text)], body=data)


END = b"0\r\n\r\n"

VALID = {
    "empty line before": Valid(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "HTTP/1.2": Valid(b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    "Host last": Valid(b"GET / HTTP/1.1\r\nX: y\r\nHost: a\r\n\r\n", fields=[*FIELDS, ("x", "y")]),
    "Host in capitals, no blank": Valid(b"GET / HTTP/1.1\r\nHOST:a\r\n\r\n"),
    "Host with blanks around": Valid(b"GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n"),
    "empty Host": hosted(""),
    "Host with port": hosted("a:8080"),
    "Host with empty port": hosted("a:"),
    "IPv6 Host": hosted("[2001:db8::1]:443"),
    "Host with underscore": hosted("a_b.c"),
    "Host with a dot behind": hosted("a."),
    "empty value": field(b"X:", "x", ""),
    "blank value": field(b"X: \t ", "x", ""),
    "colon value": field(b"X: :", "x", ":"),
    "tab inside": field(b"X: a\tb", "x", "a\tb"),
    "obs-text": field(b"X: \xe9", "x", "\udce9"),
    "UTF-8": field(b"X: \xc3\xa9", "x", "\xe9"),
    "quoted string": field(b'X: "a, \\" b"', "x", '"a, \\" b"'),
    "odd name": field(b"!#$%&'*+-.^_`|~: y", "!#$%&'*+-.^_`|~", "y"),
    "name of digits": field(b"123: y", "123", "y"),
    "encoded CRLF": field(b"X: %0d%0aY: z", "x", "%0d%0aY: z"),
    "a request in a value": field(b"X: GET / HTTP/1.1", "x", "GET / HTTP/1.1"),
    "Content-Length as value": field(b"X: Content-Length: 5", "x", "Content-Length: 5"),
    "TE field": field(b"Transfer-Encoding-X: chunked", "transfer-encoding-x", "chunked"),
    "odd method": target("/", "!#$%&'*+-.^_`|~"),
    "lower-case method": target("/", "get"),
    "method like a version": target("/", "HTTP"),
    "asterisk": target("*", "OPTIONS"),
    "encoded everything": target("/%00%0a%0d%20%2f%5c%ff"),
    "path of slashes": target("///"),
    "path with dots": target("/../../x"),
    "path with a scheme": target("/http://b/"),
    "colon and at": target("/a:b@c"),
    "query of queries": target("/??a=?b&&c=/d"),
    "semicolons": target("/;a=b;c"),
    "absolute-form, another host": Valid(
        b"GET http://b:81/x HTTP/1.1\r\nHost: a\r\n\r\n",
        path="/x",
        fields=[(":scheme", "http"), (":authority", "b:81")],
    ),
    "absolute-form, no path": Valid(
        b"GET http://b HTTP/1.1\r\nHost: a\r\n\r\n",
        fields=[(":scheme", "http"), (":authority", "b")],
    ),
    "GET with a body": length(b" 5", b"hello", "GET"),
    "DELETE with a body": length(b" 5", b"hello", "DELETE"),
    "OPTIONS with a body": length(b" 5", b"hello", "OPTIONS"),
    "leading zeros": length(b" 0005", b"hello"),
    "no blank before the length": length(b"5", b"hello"),
    "tabs around the length": length(b"\t5\t", b"hello"),
    "length zero": length(b" 0", b""),
    "a request as body": length(b" 35", SMUGGLED.ljust(35, b"x")),
    "chunks as body": length(b" 15", b"5\r\nhello\r\n0\r\n\r\n"),
    "chunked in capitals": body(b"5\r\nhello\r\n" + END, b"hello", value=b" CHUNKED"),
    "chunked with blanks around": body(b"5\r\nhello\r\n" + END, b"hello", value=b"\t chunked \t"),
    "no chunk": body(END, b""),
    "many zeros": body(b"0000000000000005\r\nhello\r\n0000\r\n\r\n", b"hello"),
    "size in capitals": body(b"A\r\n0123456789\r\n" + END, b"0123456789"),
    "extension": body(b"5;a\r\nhello\r\n0;b=c\r\n\r\n", b"hello"),
    "quoted extension": body(b'5;a="b;\\"c"\r\nhello\r\n' + END, b"hello"),
    "an end as data": body(b"5\r\n0\r\n\r\n\r\n" + END, b"0\r\n\r\n"),
    "trailers": body(b"0\r\nX: y\r\nX:\r\n\r\n", b"", [("x", "y"), ("x", "")]),
    "a trailer like a request": body(b"0\r\nGET: / HTTP/1.1\r\n\r\n", b"", [("get", "/ HTTP/1.1")]),
    "Connection of unknown things": Valid(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, , y\r\nX: 1\r\n\r\n"
    ),
}


@pytest.mark.parametrize("name", VALID)
def test_valid(name: str) -> None:
    want = VALID[name]
    data: list[Event] = [("data", 1, want.body)] if want.body else []
    assert accepted(want.data + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n") == [
        ("head", 1, 0, want.method, want.path, want.fields),
        *data,
        ("tail", 1, want.trailers),
        ("head", 3, 0, "GET", "/next", FIELDS),
        ("tail", 3, None),
    ]
