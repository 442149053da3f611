"""What attackers send to have a request's end or target seen elsewhere than we see it: a corpus.

Data only: each entry of `REFUSED` is a request, its name, the section that forbids it, the status
that answers it and how many heads may be delivered before the fault shows. `CHUNKS` are bodies that
are refused in requests and in responses. Sources: RFC 9112 11.1 and 11.2, the published advisories
on request smuggling (CL.TE, TE.CL, TE.TE, CL.0, TE.0, TERM.EXT, EXT.TERM, ...), and other parsers'
mistakes. For responses see `splitting`, for HTTP/2 `downgrades`.
"""

from typing import NamedTuple


class Attack(NamedTuple):
    name: str
    data: bytes
    status: int = 400
    #: Requests delivered before the fault shows: the faulty one, and those in front of it.
    heads: int = 0


class Group(NamedTuple):
    name: str
    #: Why these are refused.
    rule: str
    attacks: list[Attack]


def post(*lines: bytes, body: bytes = b"", first: bytes = b"POST / HTTP/1.1") -> bytes:
    """A POST with Host: a and these lines, each of them ended by CRLF here."""
    return first + b"\r\nHost: a\r\n" + b"".join(x + b"\r\n" for x in lines) + b"\r\n" + body


def get(*lines: bytes, first: bytes = b"GET / HTTP/1.1") -> bytes:
    return post(*lines, first=first)


def te(value: bytes, *lines: bytes, body: bytes = b"0\r\n\r\n") -> bytes:
    return post(b"Transfer-Encoding:" + value, *lines, body=body)


def cl(value: bytes, *lines: bytes, body: bytes = b"hello") -> bytes:
    return post(b"Content-Length:" + value, *lines, body=body)


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
    Attack("CL and gzip, chunked", cl(b" 5", b"Transfer-Encoding: gzip, chunked")),
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
    Attack("identity then chunked", te(b" identity", b"Transfer-Encoding: chunked"), 501),
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

CHUNKS: dict[str, bytes] = {
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "SP before": b" 5\r\nhello\r\n0\r\n\r\n",
    "empty size": b"\r\nhello\r\n0\r\n\r\n",
    "2^64": b"10000000000000000\r\nhello\r\n0\r\n\r\n",
    "2^64 + 5": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "2^64 - 1": b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "2^63": b"8000000000000000\r\nhello\r\n0\r\n\r\n",
    "TERM.EXT: LF in extension": b"5;\nxhello\r\n0\r\n\r\n",
    "EXT.TERM: LF in extension": b"2;\nxx\r\n4c\r\n0\r\n\r\n",
    "TERM.EXT: CR in extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "LF in a quoted extension": b'5;a="\n"\r\nhello\r\n0\r\n\r\n',
    "CRLF in a quoted extension": b'5;a="\r\n0\r\n\r\n' + HIDDEN,
    "NUL in an extension": b"5;a\0\r\nhello\r\n0\r\n\r\n",
    "no semicolon": b"5 a\r\nhello\r\n0\r\n\r\n",
    "empty extension": b"5;\r\nhello\r\n0\r\n\r\n",
    "LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "CR behind the size": b"5\rhello\r\n0\r\n\r\n",
    "CR CR LF behind the size": b"5\r\r\nhello\r\n0\r\n\r\n",
    "LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "two other octets behind the data": b"5\r\nhelloXX0\r\n\r\n",
    "nothing behind the data": b"5\r\nhello0\r\n\r\n",
    "data longer than its size": b"4\r\nhello\r\n0\r\n\r\n",
    "LF behind the last chunk": b"5\r\nhello\r\n0\n\r\n",
    "LF as the end": b"5\r\nhello\r\n0\r\n\n",
    "CR X as the end": b"5\r\nhello\r\n0\r\n\rX",
    "LF in a trailer": b"0\r\nX: y\nZ: a\r\n\r\n",
    "folded trailer": b"0\r\nX: y\r\n z\r\n\r\n",
    "a request as trailer": b"0\r\n" + HIDDEN,
    "blank before colon in trailers": b"0\r\nX : y\r\n\r\n",
    "a second end": b"0\r\n\r\n0\r\n\r\n",
    "17 digits": b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    "x alone": b"x\r\nhello\r\n0\r\n\r\n",
    "0x alone": b"0x\r\n\r\n",
    "no hexadecimal digit": b"g\r\nhello\r\n0\r\n\r\n",
    "h behind": b"5h\r\nhello\r\n0\r\n\r\n",
    "fraction": b"5.0\r\nhello\r\n0\r\n\r\n",
    "comma": b"5,5\r\nhello\r\n0\r\n\r\n",
    "quoted size": b'"5"\r\nhello\r\n0\r\n\r\n',
    "fullwidth digit": b"\xef\xbc\x95\r\nhello\r\n0\r\n\r\n",
    "NBSP before": b"\xa05\r\nhello\r\n0\r\n\r\n",
    "NBSP behind": b"5\xa0\r\nhello\r\n0\r\n\r\n",
    "VT behind": b"5\x0b\r\nhello\r\n0\r\n\r\n",
    "FF before": b"\x0c5\r\nhello\r\n0\r\n\r\n",
    "NUL behind the size": b"5\0\r\nhello\r\n0\r\n\r\n",
    "minus zero": b"-0\r\n\r\n",
    "underscore behind zero": b"0_\r\n\r\n",
    "CRLF before the size": b"\r\n5\r\nhello\r\n0\r\n\r\n",
    "CRLF twice behind the data": b"5\r\nhello\r\n\r\n0\r\n\r\n",
    "CR CR LF behind the data": b"5\r\nhello\r\r\n0\r\n\r\n",
    "LF CR behind the data": b"5\r\nhello\n\r0\r\n\r\n",
    "LF CR behind the size": b"5\n\rhello\r\n0\r\n\r\n",
    "CR alone behind the data": b"5\r\nhello\r0\r\n\r\n",
    "data shorter than its size": b"6\r\nhello\r\n0\r\n\r\n",
    "extension without a name": b"5;=b\r\nhello\r\n0\r\n\r\n",
    "extension without a value": b"5;a=\r\nhello\r\n0\r\n\r\n",
    "extension of two words": b"5;a b\r\nhello\r\n0\r\n\r\n",
    "two semicolons": b"5;;a\r\nhello\r\n0\r\n\r\n",
    "semicolon behind": b"5;a;\r\nhello\r\n0\r\n\r\n",
    "quoted name": b'5;"a"=b\r\nhello\r\n0\r\n\r\n',
    "quotes that do not end": b'5;a="b\r\nhello\r\n0\r\n\r\n',
    "quotes that end too early": b'5;a="b"c\r\nhello\r\n0\r\n\r\n',
    "quotes that an escape keeps open": b'5;a="b\\"\r\nhello\r\n0\r\n\r\n',
    "DEL in an extension": b"5;a=\x7f\r\nhello\r\n0\r\n\r\n",
    "control octet in an extension": b"5;a=\x01\r\nhello\r\n0\r\n\r\n",
    "obs-text in an extension": b"5;\xff\r\nhello\r\n0\r\n\r\n",
    "LF in the extension of the last": b"0;a\n\r\n\r\n",
    "CR in the extension of the last": b"0;a\rb\r\n\r\n",
    "trailer without a name": b"0\r\n: y\r\n\r\n",
    "trailer without a colon": b"0\r\nX\r\n\r\n",
    "SP before a trailer": b"0\r\n X: y\r\n\r\n",
    "NUL in a trailer": b"0\r\nX: \0\r\n\r\n",
    "CR in a trailer": b"0\r\nX: y\rz\r\n\r\n",
    "CR before the end": b"0\r\nX: y\r\n\r\r\n",
    "LF as the end behind trailers": b"0\r\nX: y\r\n\n",
    "a coding hidden in trailers": b"0\r\nTransfer-Encoding : chunked\r\n\r\n",
}

#: Chunked bodies of "hello" with blanks where nothing depends on them.
BLANKS: dict[str, bytes] = {
    "SP behind the size": b"5 \r\nhello\r\n0\r\n\r\n",
    "HTAB behind the size": b"5\t\r\nhello\r\n0\r\n\r\n",
    "many behind the size": b"5 \t \t \r\nhello\r\n0\r\n\r\n",
    "behind the last size": b"5\r\nhello\r\n0 \r\n\r\n",
    "before an extension": b"5 ;a\r\nhello\r\n0 ; b\r\n\r\n",
    "behind an extension": b"5;a \r\nhello\r\n0;b=c\t\r\n\r\n",
    "behind a quoted extension": b'5;a="b" \r\nhello\r\n0\r\n\r\n',
}

#: Fields that frame, route or authenticate a message (RFC 9110 6.5.1).
DROPPED_TRAILERS = (
    "Authorization Connection Content-Length Cookie Host Keep-Alive Max-Forwards "
    "Proxy-Authorization Proxy-Connection Set-Cookie TE Trailer Transfer-Encoding Upgrade"
).split()

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

MORE_TE = [
    Attack("comma before", te(b" ,chunked")),
    Attack("comma behind", te(b" chunked,")),
    Attack("commas around", te(b" , chunked ,")),
    Attack("empty line and chunked", te(b"", b"Transfer-Encoding: chunked")),
    Attack("chunked and an empty line", te(b" chunked", b"Transfer-Encoding:")),
    Attack("semicolon", te(b" chunked; identity")),
    Attack("SOH before", te(b" \x01chunked")),
    Attack("DEL behind", te(b" chunked\x7f")),
    Attack("US behind", te(b" chunked\x1f")),
    Attack("BS behind", te(b" chunked\x08")),
    Attack("CR before", te(b" \rchunked")),
    Attack("soft hyphen inside", te(b" chun\xadked")),
    Attack("zero-width space behind", te(b" chunked\xe2\x80\x8b")),
    Attack("fullwidth c", te(b" \xef\xbd\x83hunked")),
    Attack("encoded word", te(b" =?utf-8?q?chunked?=")),
    Attack("braces", te(b" {chunked}")),
    Attack("angle brackets", te(b" <chunked>")),
    Attack("comment", te(b" chunked (comment)")),
    Attack("deflate, chunked", te(b" deflate,chunked"), 501),
    Attack("unknown, chunked", te(b" cow, chunked"), 501),
    Attack("chunked, gzip", te(b" chunked, gzip")),
    Attack("gzip;q=1, chunked", te(b" gzip;q=1, chunked"), 501),
    Attack(
        "three lines", te(b" gzip", b"Transfer-Encoding: x", b"Transfer-Encoding: chunked"), 501
    ),
    Attack("in a GET", get(b"Transfer-Encoding: xchunked")),
    Attack("in HTTP/1.0, identity", get(b"Transfer-Encoding: identity", first=b"GET / HTTP/1.0")),
    Attack("in HTTP/1.0, empty", get(b"Transfer-Encoding:", first=b"GET / HTTP/1.0")),
    Attack("behind Expect", post(b"Expect: 100-continue", b"Transfer-Encoding: xchunked")),
    Attack("colon in name", post(b"Transfer-Encoding:: chunked")),
    Attack("quotes in name", post(b'"Transfer-Encoding": chunked')),
    Attack("LF before name", post(b"\nTransfer-Encoding: chunked")),
]

MORE_LENGTHS = [
    Attack("20 digits", cl(b" 00000000000000000005")),
    Attack("semicolon", cl(b" 5;5")),
    Attack("blank separated", cl(b" 5 5")),
    Attack("tab separated", cl(b" 5\t5")),
    Attack("comma before", cl(b" ,5")),
    Attack("brackets", cl(b" [5]")),
    Attack("BOM", cl(b" \xef\xbb\xbf5")),
    Attack("infinity", cl(b" inf")),
    Attack("octal", cl(b" 0o5")),
    Attack("plus zero", cl(b" +0")),
    Attack("CR inside", cl(b" 5\r5")),
    Attack("DEL behind", cl(b" 5\x7f")),
    Attack("three that agree", cl(b" 5", b"Content-Length: 5", b"Content-Length: 5")),
    Attack("agree as numbers", cl(b" 5", b"Content-Length: 05")),
    Attack("zero twice", cl(b" 0", b"Content-Length: 0", body=b"")),
    Attack("empty and 5", cl(b"", b"Content-Length: 5")),
    Attack("5 and empty", cl(b" 5", b"Content-Length:")),
    Attack("negative in a GET", get(b"Content-Length: -1")),
    Attack("bad in HTTP/1.0", get(b"Content-Length: 5x", first=b"GET / HTTP/1.0")),
    Attack("bad, behind Expect", post(b"Expect: 100-continue", b"Content-Length: +5")),
]

TARGETS = [
    Attack("empty", get(first=b"GET  HTTP/1.1")),
    Attack("missing", get(first=b"GET HTTP/1.1")),
    Attack("no method", get(first=b"/ HTTP/1.1")),
    Attack("query alone", get(first=b"GET ?x HTTP/1.1")),
    Attack("asterisk of GET", get(first=b"GET * HTTP/1.1")),
    Attack("asterisk and more", get(first=b"OPTIONS *x HTTP/1.1")),
    Attack("backslash", get(first=b"GET \\x HTTP/1.1")),
    Attack("DEL", get(first=b"GET /\x7f HTTP/1.1")),
    Attack("ESC", get(first=b"GET /\x1b HTTP/1.1")),
    Attack("LF", get(first=b"GET /\n HTTP/1.1")),
    Attack("obs-text", get(first=b"GET /\xff HTTP/1.1")),
    Attack("UTF-8", get(first=b"GET /\xc3\xa9 HTTP/1.1")),
    Attack("NBSP for SP", get(first=b"GET\xa0/ HTTP/1.1")),
    Attack("FF for SP", get(first=b"GET\x0c/ HTTP/1.1")),
    Attack("no SP", get(first=b"GET/ HTTP/1.1")),
    Attack("fragment", get(first=b"GET /x#y HTTP/1.1")),
    Attack("fragment of an absolute-form", get(first=b"GET http://a/#b HTTP/1.1")),
    Attack("absolute-form without host", get(first=b"GET http:///x HTTP/1.1")),
    Attack("absolute-form with one slash", get(first=b"GET http:/x HTTP/1.1")),
    Attack("absolute-form without scheme", get(first=b"GET ://a/ HTTP/1.1")),
    Attack("scheme that is none", get(first=b"GET 1http://a/ HTTP/1.1")),
    Attack("two ports", get(first=b"GET http://a:80:81/ HTTP/1.1")),
    Attack("port that is none", get(first=b"GET http://a:8x/ HTTP/1.1")),
    Attack("backslash for slash", get(first=b"GET http:\\\\a\\ HTTP/1.1")),
    Attack("backslash in the authority", get(first=b"GET http://a\\b/ HTTP/1.1")),
    Attack("two userinfo", get(first=b"GET http://x@y@a/ HTTP/1.1")),
    Attack("IPv6 that does not end", get(first=b"GET http://[::1/ HTTP/1.1")),
    Attack("CONNECT without port", get(first=b"CONNECT a HTTP/1.1")),
    Attack("CONNECT with empty port", get(first=b"CONNECT a: HTTP/1.1")),
    Attack("CONNECT with a port too large", get(first=b"CONNECT a:65536 HTTP/1.1")),
    Attack("CONNECT with a path", get(first=b"CONNECT a:1/x HTTP/1.1")),
    Attack("CONNECT in absolute-form", get(first=b"CONNECT http://a:1/ HTTP/1.1")),
    Attack("CONNECT with userinfo", get(first=b"CONNECT u@a:1 HTTP/1.1")),
    Attack("colon in the method", get(first=b"G:T / HTTP/1.1")),
    Attack("parenthesis in the method", get(first=b"GE(T / HTTP/1.1")),
    Attack("NUL in the method", get(first=b"G\0T / HTTP/1.1")),
    Attack("obs-text in the method", get(first=b"G\xc9T / HTTP/1.1")),
    Attack("quoted method", get(first=b'"GET" / HTTP/1.1')),
]

VERSIONS = [
    Attack("SP inside", get(first=b"GET / HTTP/ 1.1")),
    Attack("SP before the slash", get(first=b"GET / HTTP /1.1")),
    Attack("comma", get(first=b"GET / HTTP/1,1")),
    Attack("sign", get(first=b"GET / HTTP/+1.1")),
    Attack("no minor", get(first=b"GET / HTTP/1")),
    Attack("no minor behind the dot", get(first=b"GET / HTTP/1.")),
    Attack("three numbers", get(first=b"GET / HTTP/1.1.1")),
    Attack("letters behind", get(first=b"GET / HTTP/1.1x")),
    Attack("x for a number", get(first=b"GET / HTTP/1.x")),
    Attack("another protocol", get(first=b"GET / ICY/1.1")),
    Attack("HTTPS", get(first=b"GET / HTTPS/1.1")),
    Attack("mixed case", get(first=b"GET / Http/1.1")),
    Attack("HTAB behind", get(first=b"GET / HTTP/1.1\t")),
    Attack("VT behind", get(first=b"GET / HTTP/1.1\x0b")),
    Attack("HTTP/3.0", get(first=b"GET / HTTP/3.0"), 505),
    Attack("HTTP/0.1", get(first=b"GET / HTTP/0.1"), 505),
    Attack("an HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n", 505),
    Attack(
        "an HTTP/2 preface behind a request", get() + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, 1
    ),
]

NAMES = [
    *[Attack(f"{c!r} in a name", get(b"X" + c + b"Y: z")) for c in (b"(", b",", b";", b"=", b"@")],
    *[Attack(f"{c!r} in a name", get(b"X" + c + b"Y: z")) for c in (b"[", b"\\", b"{", b"/", b"?")],
    *[Attack(f"{c!r} in a name", get(b"X" + c + b"Y: z")) for c in (b"\x7f", b"\x80", b"\t", b'"')],
    *[Attack(f"{c!r} in a value", get(b"X: y" + c + b"z")) for c in (b"\x01", b"\x0b", b"\x7f")],
    *[Attack(f"{c!r} in a value", get(b"X: y" + c + b"z")) for c in (b"\x08", b"\x0c", b"\x1b")],
    Attack("NUL alone as value", get(b"X: \0")),
    Attack("CR before CRLF", get(b"X: y\r")),
    Attack("LF before CRLF", get(b"X: y\n")),
    Attack("LF CR LF as the end", b"GET / HTTP/1.1\r\nHost: a\r\n\n\r\n"),
    Attack("CR CR LF as the end", b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"),
    Attack("CR and X as the end", b"GET / HTTP/1.1\r\nHost: a\r\n\rX"),
    Attack("folded value", get(b"X: y\r\n z")),
    Attack("folded by tab", get(b"X: y\r\n\tz")),
    Attack("folded to nothing", get(b"X: y\r\n ")),
    Attack("folded name", get(b"X\r\n : y")),
]

MORE_HOSTS = [
    *[
        Attack(f"{h!r}", b"GET / HTTP/1.1\r\nHost: " + h + b"\r\n\r\n")
        for h in (
            *(b"::1", b"[::1", b"[a]", b"[::1]x", b"[::1]:x", b"[]", b"a]", b"[::1%25x]"),
            *(b"a:b", b"a:99999999", b"a:-1", b"a:80:81", b":80", b"a:8 0", b"http://a", b"a/"),
            *(b"a?b", b"a#b", b"a%", b"a%0", b"a%zz", b'"a"', b"<a>", b"a|b", b"a^b", b"a`b"),
            *(b"a{b}", b"a\tb", b"a\x7f", b"\xff", b"\xc3\xa9", b"a\\", b"@", b"a@", b"a b:80"),
        )
    ],
    Attack("two in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    Attack("empty one and another", b"GET / HTTP/1.1\r\nHost:\r\nHost: a\r\n\r\n"),
    Attack("bad beside absolute-form", b"GET http://a/ HTTP/1.1\r\nHost: b c\r\n\r\n"),
    Attack("none but X-Forwarded-Host", b"GET / HTTP/1.1\r\nX-Forwarded-Host: a\r\n\r\n"),
    Attack("none but :authority", b"GET / HTTP/1.1\r\n:authority: a\r\n\r\n"),
    Attack(":authority beside it", get(b":authority: b")),
    Attack(":path beside it", get(b":path: /b")),
    Attack("of CONNECT twice", b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nHost: a:1\r\n\r\n"),
]

UPGRADES = [
    Attack("CONNECT with a length", get(b"Content-Length: 5", first=b"CONNECT a:1 HTTP/1.1")),
    Attack(
        "CONNECT with chunks", get(b"Transfer-Encoding: chunked", first=b"CONNECT a:1 HTTP/1.1")
    ),
    Attack("h2c with CL and TE", cl(b" 5", b"Transfer-Encoding: chunked", b"Upgrade: h2c")),
    Attack(
        "websocket with CL and TE", te(b" chunked", b"Content-Length: 5", b"Upgrade: websocket")
    ),
    Attack("websocket with xchunked", te(b" xchunked", b"Upgrade: websocket")),
    Attack("Expect with CL and TE", te(b" chunked", b"Content-Length: 5", b"Expect: 100-continue")),
    Attack(
        "behind an upgrade that is not taken",
        cl(b" 5", b"Connection: upgrade, http2-settings", b"Upgrade: h2c", b"HTTP2-Settings: ")
        + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        505,
        1,
    ),
]

PIPELINED = [
    Attack("a second one with CL and TE", get() + cl(b" 5", b"Transfer-Encoding: chunked"), 400, 1),
    Attack("a second one without Host", get() + b"GET / HTTP/1.1\r\n\r\n", 400, 1),
    Attack("a second one with LF", get() + b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, 1),
    Attack("a second one with gzip", get() + te(b" gzip, chunked"), 501, 1),
    Attack("a second one folded", get() + get(b"X: y\r\n z"), 400, 1),
    Attack("a second one that differs in a space", get(b"X: y") + get(b"X : y"), 400, 1),
    Attack("a second one that differs in a NUL", get(b"X: y") + get(b"X: y\0"), 400, 1),
    Attack("a second Host, as before", get() + get(b"Host: a"), 400, 1),
    Attack("the body of the first is short", cl(b" 7") + get(first=b"G / HTTP/1.1"), 400, 1),
    Attack("a bad chunk of the second", get() + te(b" chunked", body=b"x\r\n"), 400, 2),
    Attack("a response", get() + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400, 1),
]

GROUPS = [
    Group("CL and TE", "RFC 9112 6.1", CL_AND_TE),
    Group("Transfer-Encoding", "RFC 9112 6.1, 6.3", TE_TE + MORE_TE),
    Group("Content-Length", "RFC 9110 8.6, RFC 9112 6.3", LENGTHS + MORE_LENGTHS),
    Group("line", "RFC 9112 2.2, 3, 5", LINES),
    Group("target", "RFC 9112 3.1, 3.2", TARGETS),
    Group("version", "RFC 9112 2.3, RFC 9110 2.5", VERSIONS),
    Group("field", "RFC 9112 5.1, 5.2, RFC 9110 5.5", NAMES),
    Group("Host", "RFC 9112 3.2, RFC 9110 4.2", HOSTS + MORE_HOSTS),
    Group(
        "chunk",
        "RFC 9112 7.1, RFC 9110 6.5.1",
        [Attack(name, te(b" chunked", body=body), heads=1) for name, body in CHUNKS.items()],
    ),
    Group("behind", "RFC 9112 6.3, 2.2", BEHIND),
    Group("upgrade", "RFC 9110 7.8, 9.3.6", UPGRADES),
    Group("pipelined", "RFC 9112 9.3", PIPELINED),
]

REFUSED = {f"{g.name} ({g.rule}): {a.name}": a for g in GROUPS for a in g.attacks}
