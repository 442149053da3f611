"""Requests that are unusual but valid, and exactly what they mean: a corpus.

Data only: the counterpart of `smuggling`. Each entry is a request and the head, body and trailers
that must come of it.
"""

from typing import NamedTuple

from tests.h1.wire import FIELDS, SMUGGLED
from tests.security.smuggling import get, post, te
from tests.support import Headers


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
    "empty lines before": Valid(b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "HTTP/1.9": Valid(get(first=b"GET / HTTP/1.9")),
    "Host with encoded octets": hosted("a%2fb"),
    "Host with sub-delims": hosted("a!$&'()*+,;=b"),
    "Host of digits": hosted("2130706433:1"),
    "IPv4 Host": hosted("127.0.0.1:80"),
    "IPv6 Host with an address inside": hosted("[::ffff:127.0.0.1]"),
    "Host in mixed case": hosted("ExAmPlE.cOm"),
    "Host named by Connection": Valid(get(b"Connection: host")),
    "Content-Length named by Connection": Valid(
        post(b"Connection: content-length", b"Content-Length: 5", body=b"hello"),
        "POST",
        fields=[*FIELDS, ("content-length", "5")],
        body=b"hello",
    ),
    "Transfer-Encoding named by Connection": Valid(
        te(b" chunked", b"Connection: transfer-encoding", body=b"5\r\nhello\r\n" + END),
        "POST",
        body=b"hello",
    ),
    "X-Forwarded-Host": field(b"X-Forwarded-Host: b", "x-forwarded-host", "b"),
    "same field many times": Valid(
        get(b"X: 1", b"x: 2", b"X: 1"), fields=[*FIELDS, ("x", "1"), ("x", "2"), ("x", "1")]
    ),
    "no blank behind the colon": field(b"X:y", "x", "y"),
    "many blanks around": field(b"X:   \t  y \t  ", "x", "y"),
    "blanks inside": field(b"X: a  \t b", "x", "a  \t b"),
    "a value of 0xff": field(b"X: \xff", "x", "\udcff"),
    "a value of every other octet": field(
        b"X: " + bytes(range(0x21, 0x7F)), "x", bytes(range(0x21, 0x7F)).decode()
    ),
    "a field named like a method": field(b"GET: / HTTP/1.1", "get", "/ HTTP/1.1"),
    "an empty list of options": Valid(get(b"Connection: ,, ,")),
    "keep-alive": Valid(get(b"Connection: Keep-Alive", b"Keep-Alive: timeout=5")),
    "hop-by-hop fields": Valid(
        get(b"Connection: x-a, X-B", b"X-A: 1", b"x-b: 2", b"TE: gzip"),
        fields=[*FIELDS, ("te", "gzip")],
    ),
    "TE: trailers": Valid(
        get(b"Connection: te", b"TE: trailers"), fields=[*FIELDS, ("te", "trailers")]
    ),
    "h2c that is not taken": Valid(
        get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: "),
        fields=[*FIELDS, ("upgrade", "h2c")],
    ),
    "h2c and a body": Valid(
        post(
            b"Connection: Upgrade",
            b"Upgrade: h2c",
            b"Content-Length: 5",
            body=b"PRI *",
        ),
        "POST",
        fields=[*FIELDS, ("upgrade", "h2c"), ("content-length", "5")],
        body=b"PRI *",
    ),
    "Upgrade without Connection": Valid(get(b"Upgrade: websocket")),
    "Expect of something else": field(b"Expect: 200-maybe", "expect", "200-maybe"),
    "longest length": Valid(
        post(b"Content-Length: 0000000000000000005", body=b"hello"),
        "POST",
        fields=[*FIELDS, ("content-length", "0000000000000000005")],
        body=b"hello",
    ),
    "TRACE": target("/", "TRACE"),
    "PRI": target("/", "PRI"),
    "a very long method": target("/", "M" * 60),
    "target of sub-delims": target("/!$&'()*+,;=:@-._~"),
    "target of odd octets": target('/"<>[]^`{|}\\'),
    "bad percent": target("/%zz%"),
    "question marks": target("/?"),
    "OPTIONS of a path": target("/x", "OPTIONS"),
    "OPTIONS of a whole server": Valid(
        get(first=b"OPTIONS http://b:1 HTTP/1.1"),
        "OPTIONS",
        "*",
        [(":scheme", "http"), (":authority", "b:1")],
    ),
    "absolute-form of https": Valid(
        get(first=b"GET HTTPS://b/ HTTP/1.1"), fields=[(":scheme", "https"), (":authority", "b")]
    ),
    "absolute-form with a query alone": Valid(
        get(first=b"GET http://b?q HTTP/1.1"),
        path="/?q",
        fields=[(":scheme", "http"), (":authority", "b")],
    ),
    "chunked in a GET": Valid(get(b"Transfer-Encoding: chunked") + b"1\r\nx\r\n" + END, body=b"x"),
    "sixteen digits": body(b"0000000000000005\r\nhello\r\n" + END, b"hello"),
    "blanks around an extension": body(b"5 ; a = b\r\nhello\r\n" + END, b"hello"),
    "many extensions": body(b'5;a;b=c;d="e";f\r\nhello\r\n' + END, b"hello"),
    "quoted octets": body(b'5;a="\t \\\t\xff"\r\nhello\r\n' + END, b"hello"),
    "one octet a chunk": body(b"1\r\nh\r\n1\r\ni\r\n" + END, b"hi"),
    "CRLF as data": body(b"2\r\n\r\n\r\n" + END, b"\r\n"),
    "a request as chunk": body(
        b"23\r\n" + SMUGGLED.ljust(35, b"x") + b"\r\n" + END, SMUGGLED.ljust(35, b"x")
    ),
    "trailer of obs-text": body(b"0\r\nX: \xe9\r\n\r\n", b"", [("x", "\udce9")]),
    "trailer without blank": body(b"0\r\nX:y\r\n\r\n", b"", [("x", "y")]),
    "digest and signature trailers": body(
        b"0\r\nDigest: x=y\r\nServer-Timing: z\r\n\r\n",
        b"",
        [("digest", "x=y"), ("server-timing", "z")],
    ),
}
