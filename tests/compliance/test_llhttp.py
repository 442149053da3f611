"""What llhttp's vectors ask of a parser in strict mode, retold: the same cases, other messages.

llhttp parses HTTP/1.1 for Node.js. Its vectors are in no package registry, so that each case is
retold here. `differs` says why cno decides otherwise where it does. llhttp does not look at Host;
each request here has one but where that is the case.
"""

from typing import NamedTuple

from cno import raw
from tests.h1.wire import asked
from tests.rows import each_row
from tests.support import Headers, Recorder, h1_client, h1_server, play

Message = tuple[str, str, bytes, Headers | None]  # method, path, body, trailers


class Vector(NamedTuple):
    data: bytes
    #: What is delivered; None: the message is refused.
    messages: list[Message] | None
    #: Why llhttp decides otherwise, or "".
    differs: str = ""


def req(line: bytes, *fields: bytes, body: bytes = b"", host: bool = True) -> bytes:
    lines = [line + b" HTTP/1.1", *([b"Host: a.test"] if host else []), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunks(body: bytes, *fields: bytes) -> bytes:
    return req(b"POST /c", *fields, b"Transfer-Encoding: chunked", body=body)


def get(path: str = "/", method: str = "GET", body: bytes = b"") -> list[Message]:
    return [(method, path, body, None)]


HELLO: list[Message] = get("/c", "POST", b"hello")
BOTH: list[Message] = [("GET", "/1", b"", None), ("GET", "/2", b"", None)]

REQUESTS: dict[str, Vector] = {
    # -- samples -----------------------------------------------------------------------------------
    "simple": Vector(req(b"OPTIONS /x", b"A: b", b"C:\t d"), get("/x", "OPTIONS")),
    "a method that begins like a version": Vector(req(b"HEAD /x"), get("/x", "HEAD")),
    "a value of symbols": Vector(req(b"GET /", b"bbbb:----++++"), get()),
    "no Host": Vector(
        req(b"GET /", b"Accept: */*", host=False), None, "RFC 9112 3.2: a request needs Host"
    ),
    "HTTP/1.0 without fields": Vector(b"GET /old HTTP/1.0\r\n\r\n", get("/old")),
    "an empty line in front": Vector(b"\r\n" + req(b"GET /"), get()),
    "no version": Vector(b"GET /\r\n\r\n", None, "RFC 9112 2.3: HTTP/0.9 is another protocol"),
    "folded": Vector(
        req(b"GET /", b"A: b\r\n\tc\r\n d"), None, "Limits.allow_obs_fold (RFC 9112 5.2)"
    ),
    "folded by LF": Vector(req(b"GET /", b"A: b\n\tc"), None),
    "UTF-8 in a value": Vector(req(b"GET /", "Town: Köln".encode()), get()),
    "0xFF in a value": Vector(req(b"GET /", b"A: \xffb"), get()),
    # -- methods -----------------------------------------------------------------------------------
    **{
        f"method {name}": Vector(req(name.encode() + b" /x"), get("/x", name))
        for name in ("REPORT", "PATCH", "PURGE", "SEARCH", "LINK", "UNLINK", "SOURCE", "QUERY")
    },
    "an unknown method": Vector(
        req(b"MKCOLA /x"), get("/x", "MKCOLA"), "RFC 9110 9.1: methods are the application's"
    ),
    "M-SEARCH": Vector(
        req(b"M-SEARCH *"), None, "RFC 9112 3.2.4: asterisk-form is for OPTIONS (SSDP uses UDP)"
    ),
    "CONNECT": Vector(req(b"CONNECT b.test:443"), [("CONNECT", "", b"", None)]),
    "CONNECT in capitals": Vector(req(b"CONNECT B.TEST:443"), [("CONNECT", "", b"", None)]),
    "CONNECT with an underscore": Vector(
        req(b"CONNECT b_0.test:443"), [("CONNECT", "", b"", None)]
    ),
    "CONNECT with a length": Vector(
        req(b"CONNECT b.test:443", b"Content-Length: 5", body=b"hello"),
        None,
        "RFC 9110 9.3.6: CONNECT has no content",
    ),
    "PRI": Vector(
        b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", None, "RFC 9113 3.4: that is not the preface"
    ),
    # -- other protocols ---------------------------------------------------------------------------
    "ICE and GET": Vector(b"GET /x ICE/1.0\r\nHost: a\r\n\r\n", None),
    "ICE and SOURCE": Vector(
        b"SOURCE /x ICE/1.0\r\nHost: a\r\n\r\n", None, "RFC 9112 2.3: HTTP alone is spoken"
    ),
    "nearly HTTP": Vector(b"GET /x IHTTP/1.0\r\nHost: a\r\n\r\n", None),
    "RTSP and PUT": Vector(b"PUT /x RTSP/1.0\r\nHost: a\r\n\r\n", None),
    "RTSP and ANNOUNCE": Vector(
        b"ANNOUNCE /x RTSP/1.0\r\nHost: a\r\n\r\n", None, "RFC 9112 2.3: HTTP alone is spoken"
    ),
    "HTTP and ANNOUNCE": Vector(
        b"ANNOUNCE /x HTTP/1.0\r\n\r\n",
        get("/x", "ANNOUNCE"),
        "RFC 9110 9.1: methods are the application's",
    ),
    "version 5.6": Vector(b"GET / HTTP/5.6\r\n\r\n", None),
    # -- lines -------------------------------------------------------------------------------------
    "CR between fields": Vector(req(b"GET /", b"A: 1\rB: 2"), None),
    "LF between fields": Vector(req(b"GET /", b"A: 1\nB: 2"), None),
    "CR behind an empty value": Vector(req(b"GET /", b"A:\rTransfer-Encoding: chunked"), None),
    "LF behind an empty value": Vector(req(b"GET /", b"A:\nTransfer-Encoding: chunked"), None),
    "CR and a letter as the end": Vector(req(b"GET /")[:-2] + b"\rZGET / HTTP/1.1\r\n\r\n", None),
    "LF everywhere": Vector(b"GET / HTTP/1.1\nHost: a\n\n", None),
    "no CR before a length": Vector(req(b"GET /", b"A: b\nContent-Length: 9"), None),
    "a bad character in a name": Vector(req(b"GET /", b"A@: b"), None),
    "a control character in a name": Vector(req(b"GET /", b"A\x01b: c"), None),
    "no name": Vector(req(b"GET /", b": b"), None),
    "a name over two lines": Vector(req(b"GET /", b"name\r\n : value"), None),
    "CR for a hyphen": Vector(req(b"GET /", b"Content\rLength: 3"), None),
    "garbage in Connection's name": Vector(req(b"GET /", b"Connection\r\x1b5\xd5eep-Alive"), None),
    "garbage in another name": Vector(req(b"GET /", b"X-Some\r\x1b5\xd5eep-Alive"), None),
    "a blank behind the start line": Vector(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", None),
    "a blank before a length": Vector(req(b"POST /", b"A: b\r\n Content-Length: 9"), None),
    # -- targets -----------------------------------------------------------------------------------
    "quotes": Vector(req(b'GET /"a"?b=\\"c\\"'), get('/"a"?b=\\"c\\"')),
    "two question marks": Vector(req(b"GET /a?b=c?d"), get("/a?b=c?d")),
    "a vertical bar": Vector(req(b"GET /a?b=|"), get("/a?b=|")),
    "a query behind the host": Vector(req(b"GET http://b.test?c=d"), get("/?c=d")),
    "a query behind the port": Vector(req(b"GET http://b.test:8?c=d"), get("/?c=d")),
    "nothing behind the port": Vector(req(b"GET http://b.test:8"), get("/")),
    "UTF-8": Vector(req("GET /é?q=1".encode()), None),
    "a fragment": Vector(
        req(b"GET /a?b#c"), None, "RFC 9110 4.1: a target URI excludes the fragment"
    ),
    "userinfo": Vector(
        req(b"GET http://u%12:p!&*$@b.test:8/c"), None, "RFC 9110 4.2.4: treat userinfo as an error"
    ),
    "a blank": Vector(req(b"GET /a b"), None),
    # -- lengths -----------------------------------------------------------------------------------
    "zeros in front": Vector(
        req(b"PUT /", b"Content-Length: 003", body=b"abc"), get("/", "PUT", b"abc")
    ),
    "a field behind": Vector(
        req(b"PUT /", b"Content-Length: 003", b"A: b", body=b"abc"), get("/", "PUT", b"abc")
    ),
    "22 digits": Vector(req(b"PUT /", b"Content-Length: 1" + b"0" * 21), None),
    "two lengths": Vector(req(b"PUT /", b"Content-Length: 1", b"Content-Length: 2"), None),
    "a length and identity": Vector(
        req(b"PUT /", b"Content-Length: 1", b"Transfer-Encoding: identity"), None
    ),
    "capitals": Vector(
        b"GET /o HTTP/1.0\r\nconTENT-Length: 5\r\n\r\nHELLO", get("/o", body=b"HELLO")
    ),
    "blanks around": Vector(
        req(b"POST /", b"Content-Length:  2 ", body=b"ok"), get("/", "POST", b"ok")
    ),
    "a blank inside": Vector(req(b"POST /", b"Content-Length: 4 2"), None),
    "an empty one": Vector(req(b"POST /", b"Content-Length:"), None),
    # -- transfer codings --------------------------------------------------------------------------
    "an empty coding and a length": Vector(
        req(b"POST /", b"Transfer-Encoding:", b"Content-Length: 5", body=b"hello"), None
    ),
    "a length and an empty coding": Vector(
        req(b"POST /", b"Content-Length: 5", b"Transfer-Encoding:", body=b"hello"), None
    ),
    "a size in lower case": Vector(
        chunks(b"a\r\n0123456789\r\n0\r\n\r\n"), get("/c", "POST", b"0123456789")
    ),
    "a size in upper case": Vector(
        chunks(b"A\r\n0123456789\r\n0\r\n\r\n"), get("/c", "POST", b"0123456789")
    ),
    "zeros as the end": Vector(chunks(b"2\r\nhe\r\n3\r\nllo\r\n000\r\n\r\n"), HELLO),
    "trailers": Vector(
        chunks(b"0\r\nVary: *\r\nContent-Type: text/plain\r\n\r\n"),
        [("POST", "/c", b"", [("vary", "*"), ("content-type", "text/plain")])],
    ),
    "extensions": Vector(chunks(b"5;a;b=c;d=e\r\nhello\r\n0;f\r\n\r\n"), HELLO),
    "extensions in quotes": Vector(
        chunks(b'5;a="b \\"c\\"; \\\\d\\\\";e="f";g\r\nhello\r\n0\r\n\r\n'), HELLO
    ),
    "quotes that do not end": Vector(chunks(b'5;a="b";c="d\r\nhello\r\n0\r\n\r\n'), None),
    "no semicolon": Vector(chunks(b"5 a\r\nhello\r\n0\r\n\r\n"), None),
    "nothing behind the semicolon": Vector(chunks(b"5;\r\nhello\r\n0\r\n\r\n"), None),
    "a blank behind the size": Vector(
        chunks(b"5 \r\nhello\r\n0\r\n\r\n"), HELLO, "no reader takes the blank for data"
    ),
    "LF behind the size": Vector(chunks(b"5 \n  \r\nhello\r\n0\r\n\r\n"), None),
    "CR CR behind the size": Vector(chunks(b"5\r\r;hel\r\n2\r\nlo\r\n0\r\n\r\n"), None),
    "no CRLF behind the data": Vector(chunks(b"5\r\nhello0\r\n\r\n"), None),
    "no last chunk": Vector(chunks(b"5\r\nhello\r\n\r\n"), None),
    "an unknown coding": Vector(req(b"PUT /", b"Transfer-Encoding: pigeons"), None),
    "identity and a length": Vector(
        req(b"PUT /", b"Transfer-Encoding: identity", b"Content-Length: 5", body=b"hello"), None
    ),
    "chunked, then another": Vector(req(b"PUT /", b"Transfer-Encoding: chunked, deflate"), None),
    "in two lines": Vector(
        req(b"PUT /", b"Transfer-Encoding: chunked", b"Transfer-Encoding: deflate"), None
    ),
    "deflate, then chunked": Vector(
        req(b"PUT /", b"Transfer-Encoding: deflate, chunked", body=b"0\r\n\r\n"),
        None,
        "Limits.allow_transfer_codings (RFC 9112 6.1)",
    ),
    "chunkedchunked": Vector(req(b"PUT /", b"Transfer-Encoding: chunkedchunked"), None),
    # -- connections -------------------------------------------------------------------------------
    "two requests": Vector(req(b"GET /1") + req(b"GET /2"), BOTH),
    "two with keep-alive": Vector(
        req(b"GET /1", b"Connection: keep-alive") + req(b"GET /2", b"Connection: keep-alive"), BOTH
    ),
    "an empty line between": Vector(req(b"GET /1") + b"\r\n" + req(b"GET /2"), BOTH),
    "two of HTTP/1.0": Vector(
        b"GET /1 HTTP/1.0\r\n\r\nGET /2 HTTP/1.0\r\n\r\n",
        BOTH[:1],
        "RFC 9112 9.6: what follows the last request is ignored, not an error",
    ),
    "two of HTTP/1.0 with keep-alive": Vector(
        b"GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\n", BOTH
    ),
    "another behind close": Vector(
        req(b"GET /1", b"Connection: close") + req(b"GET /2"),
        BOTH[:1],
        "RFC 9112 9.6: what follows the last request is ignored, not an error",
    ),
    "options in a list": Vector(
        req(b"GET /1", b"Connection: close, token, upgrade, keep-alive") + req(b"GET /2"), BOTH[:1]
    ),
    "options in folded lines": Vector(
        req(b"GET /", b"Connection: close,\r\n upgrade"),
        None,
        "RFC 9112 5.2: never where it frames or routes, whatever Limits say",
    ),
}


@each_row("name", REQUESTS)
def test_requests(name: str) -> None:
    vector = REQUESTS[name]
    conn = play(h1_server, vector.data)
    if vector.messages is None:
        assert isinstance(conn.error, raw.ProtocolError), conn.events
        return
    assert conn.error is None, conn.error
    assert told(conn, 3) == vector.messages


def told(conn: Recorder, column: int) -> list[Message]:
    """The messages that were delivered; those of CONNECT have no end."""
    messages: list[Message] = []
    for event in conn.of("head", "data", "tail"):
        if event[0] == "head":
            messages.append((str(event[column]), event[4], b"", None))
        elif event[0] == "data":
            messages[-1] = (*messages[-1][:2], messages[-1][2] + event[2], None)
        else:
            messages[-1] = (*messages[-1][:3], event[2])
    return messages


def ans(*fields: bytes, body: bytes = b"", line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join((line, *fields)) + b"\r\n\r\n" + body


def answer(body: bytes = b"", code: int = 200, trailers: Headers | None = None) -> list[Message]:
    return [(str(code), "", body, trailers)]


def coded(body: bytes, *fields: bytes) -> bytes:
    return ans(*fields, b"Transfer-Encoding: chunked", body=body)


LENGTH = b"Content-Length: 0"
#: The end of the connection is the end of the message.
UNTIL_CLOSE = [
    "no length",
    "no reason",
    "an empty reason",
    "two blanks before the reason",
    "keep-alive, no length",
    "chunked, then another",
    "chunked, then identity",
    "chunkedchunked",
    "Upgrade in 200",
]

RESPONSES: dict[str, Vector] = {
    # -- samples -----------------------------------------------------------------------------------
    "simple": Vector(ans(b"A: b", b"C:\t d", LENGTH), answer()),
    "no length": Vector(ans(b"A: b", body=b"body"), answer(b"body")),
    "no reason": Vector(ans(line=b"HTTP/1.1 301"), answer(code=301)),
    "an empty reason": Vector(ans(line=b"HTTP/1.1 200 "), answer()),
    "two blanks before the reason": Vector(ans(line=b"HTTP/1.1 200  OK"), answer()),
    "blanks around a length": Vector(ans(b"Content-Length:  2  ", body=b"ok"), answer(b"ok")),
    "odd names": Vector(ans(b"A_b: c", b".x-Cookie: d", b"X-$y: e", LENGTH), answer()),
    "an empty value": Vector(ans(b"Pragma: ", b"Location: /", LENGTH), answer()),
    "one chunk of LF": Vector(coded(b"1\r\n\n\r\n0\r\n\r\n"), answer(b"\n")),
    "RTSP": Vector(ans(line=b"RTSP/1.1 200 OK"), None, "RFC 9112 2.3: HTTP alone is spoken"),
    "ICE": Vector(ans(line=b"ICE/1.1 200 OK"), None, "RFC 9112 2.3: HTTP alone is spoken"),
    "LF alone": Vector(b"HTTP/1.1 200 OK\nA: b\n\nbody", None),
    # -- faults ------------------------------------------------------------------------------------
    **{
        f"{line!r}": Vector(ans(LENGTH, line=line), None)
        for line in (
            *(b"HTP/1.1 200 OK", b"HTTPER/1.1 200 OK", b"HTTP/01.1 200 OK", b"HTTP/11.1 200 OK"),
            *(b"HTTP/1.01 200 OK", b"HTTP/1.1\t200 OK", b"\rHTTP/1.1\t200 OK", b"HTTP/5.6 200 OK"),
            *(b"HTTP/1.1  200 OK", b"HTTP/1.1 2 OK"),
        )
    },
    "CR between fields": Vector(ans(b"A: 1\rB: 2", LENGTH), None),
    "a blank behind the start line": Vector(b"HTTP/1.1 200 OK\r\n Host: a\r\n\r\n", None),
    # -- lengths and codings -----------------------------------------------------------------------
    "two lengths": Vector(ans(b"Content-Length: 0", b"Content-Length: 6"), None),
    "a length and chunked": Vector(
        ans(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), None
    ),
    "an empty coding and a length": Vector(
        ans(b"Transfer-Encoding:", b"Content-Length: 5", body=b"hello"), None
    ),
    "blanks behind sizes": Vector(
        coded(b"5  \r\nhello\r\n0  \r\n\r\n"), answer(b"hello"), "no reader takes them for data"
    ),
    "chunked, then another": Vector(
        ans(b"Transfer-Encoding: chunked, deflate", body=b"x"), answer(b"x")
    ),
    "chunked, then identity": Vector(
        ans(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"x"), answer(b"x")
    ),
    "chunkedchunked": Vector(
        ans(b"Transfer-Encoding: chunkedchunked", body=b"2\r\n"), answer(b"2\r\n")
    ),
    "extensions": Vector(coded(b"5;a;b=c\r\nhello\r\n0\r\n\r\n"), answer(b"hello")),
    "extensions in quotes": Vector(coded(b'5;a="b; c";d\r\nhello\r\n0\r\n\r\n'), answer(b"hello")),
    "quotes that do not end": Vector(coded(b'5;a="b\r\nhello\r\n0\r\n\r\n'), None),
    "no semicolon": Vector(coded(b"5 a\r\nhello\r\n0\r\n\r\n"), None),
    "nothing behind the semicolon": Vector(coded(b"5;\r\nhello\r\n0\r\n\r\n"), None),
    # -- connections -------------------------------------------------------------------------------
    "keep-alive, no length": Vector(
        ans(b"Connection: keep-alive", body=b"body", line=b"HTTP/1.0 200 OK"), answer(b"body")
    ),
    "204": Vector(ans(line=b"HTTP/1.1 204 No Content"), answer(code=204)),
    "204 of HTTP/1.0": Vector(
        ans(b"Connection: keep-alive", line=b"HTTP/1.0 204 No Content"), answer(code=204)
    ),
    "204 and close": Vector(
        ans(b"Connection: close", line=b"HTTP/1.1 204 No Content"), answer(code=204)
    ),
    "304 with a length": Vector(
        ans(b"Content-Length: 10", line=b"HTTP/1.1 304 Not Modified"), answer(code=304)
    ),
    "304 with chunked": Vector(
        ans(b"Transfer-Encoding: chunked", line=b"HTTP/1.1 304 Not Modified"), answer(code=304)
    ),
    "100 before": Vector(
        ans(line=b"HTTP/1.1 100 Continue") + ans(LENGTH, line=b"HTTP/1.1 404 Not Found"),
        [("100", "", b"", None), ("404", "", b"", None)],
    ),
    "Proxy-Connection": Vector(
        ans(b"Proxy-Connection: close", b"Content-Length: 2", body=b"ok"), answer(b"ok")
    ),
    "101 unasked": Vector(
        ans(b"Connection: upgrade", b"Upgrade: h2c", line=b"HTTP/1.1 101 Switching Protocols"),
        None,
        "RFC 9110 7.8: the client has not offered to switch",
    ),
    "Upgrade in 200": Vector(
        ans(b"Connection: upgrade", b"Upgrade: h2c", body=b"body"), answer(b"body")
    ),
    "Upgrade in 200, a length": Vector(
        ans(b"Connection: upgrade", b"Upgrade: h2c", b"Content-Length: 4", body=b"body"),
        answer(b"body"),
    ),
    "Upgrade in 200, chunked": Vector(
        coded(b"2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n", b"Connection: upgrade", b"Upgrade: h2c"),
        answer(b"body"),
    ),
}


@each_row("name", RESPONSES)
def test_responses(name: str) -> None:
    vector = RESPONSES[name]
    conn = play(asked, vector.data)
    if vector.messages is None:
        assert isinstance(conn.error, raw.ProtocolError), conn.events
        return
    assert conn.error is None, conn.error
    if name in UNTIL_CLOSE:
        assert conn.of("tail") == []
        conn.connection_lost()
    assert told(conn, 2) == vector.messages
    assert len(conn.of("tail")) == 1


def test_two_responses() -> None:
    """Where two requests have been written. (To one, a second response is an error.)"""

    def make() -> Recorder:
        conn = h1_client()
        for stream in (1, 3):
            conn.write_head(stream, 0, "GET", "/", [(":authority", "a")], True)
        conn.take()
        conn.events.clear()
        return conn

    conn = play(make, ans(LENGTH) + ans(b"Content-Length: 2", body=b"ok"))
    assert conn.error is None
    assert told(conn, 2) == [("200", "", b"", None), ("200", "", b"ok", None)]


def test_each_difference_has_a_reason() -> None:
    differing = [v.differs for v in (*REQUESTS.values(), *RESPONSES.values()) if v.differs]
    assert len(differing) < 25
    assert len(REQUESTS) + len(RESPONSES) >= 120
