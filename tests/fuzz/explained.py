"""Known differences between `cno` and `h2` or `h11`, with the reason of each.

Pairs of a pattern and a reason. The pattern is searched in "cno VERDICT | NAME VERDICT", where a
verdict is `ok`, `stream: why` or `connection: why`, with the events if only one refuses. The first
match is the explanation.
"""

from typing import Final

H2_EXPLAINED: Final[tuple[tuple[str, str], ...]] = (
    (
        r"cno stream: .* \| h2 connection: ",
        "RFC 9113 5.4.1: an endpoint MAY treat a stream error as a connection error; h2 does",
    ),
    (
        r"cno ok: type [12] \| h2 .* may not depend on itself",
        "RFC 9113 5.3.2: priorities are deprecated, and no self-dependency is forbidden any more",
    ),
    (
        r"cno ok: type [159] \| h2 .* does not have an :authority or Host header",
        "RFC 9113 8.3.1: only :method, :scheme and :path must be there (HTTP/1.0 has no Host)",
    ),
    (
        r"cno connection: type [59] .*PUSH_PROMISE (on a closed|of) stream.* \| h2 (ok|stream)",
        "RFC 9113 6.6: on a stream that is not open, or of one that is not idle, it MUST be a "
        "connection error; h2 refuses it",
    ),
    (
        r"cno connection: type [19] .*HEADERS on closed stream.* \| h2 (ok|stream)",
        "RFC 9113 5.1: on a closed stream it MAY be a connection error; h2 resets the stream again",
    ),
    (
        r"cno connection: type 4 .*NO_RFC7540_PRIORITIES must be 0 or 1",
        "RFC 9218 2.1: any other value MUST be a connection error; h2 does not know the setting",
    ),
    (
        r"cno (ok|stream.*): type [15] \| h2 connection: .* frame with invalid padding",
        "RFC 9113 6.2: padding may leave nothing of a fragment; hyperframe wants an octet of it",
    ),
    (r"cno connection: type 16 ", "RFC 9218 7.1: h2 knows no PRIORITY_UPDATE"),
    (
        r"cno ok: type 10 \| h2 connection: FrameDataMissingError",
        "RFC 9113 5.5: ALTSVC is an extension that cno ignores; h2 reads it",
    ),
    (
        r"cno connection: type 3 .*RST_STREAM on an idle stream.* \| h2 ok",
        "RFC 9113 6.4: RST_STREAM on an idle stream MUST be a connection error; h2 takes it",
    ),
    (
        r"cno connection: type [19] .*HEADERS on an idle stream.* \| h2 ok",
        "RFC 9113 5.1: only a promise lets a server open a stream; h2 takes a request from one",
    ),
    (
        r"cno connection: type [08] .* on a reserved stream.* \| h2 ",
        "RFC 9113 5.1: on a reserved stream they MUST be a connection error; h2 is milder",
    ),
    (
        r"cno connection: type 9 .*CONTINUATION without a field block.* \| h2 (ok|stream)",
        "RFC 9113 6.10: it MUST be a connection error; h2 looks at the state of the stream first",
    ),
    (
        r"cno stream: RST\(1\) for type [19] \| h2 ok .*b':protocol'",
        "RFC 8441 3: no :protocol unless ENABLE_CONNECT_PROTOCOL was sent; h2 takes it",
    ),
    (
        r"cno stream: RST\(1\) for type [19] \| h2 ok .*b'content-length', b'(?!0').*\('end'",
        "RFC 9113 8.1.1: content-length of a message without DATA; h2 looks at DATA only",
    ),
    (
        r"^h2 takes what cannot be",
        "RFC 9113 8.2.1, 8.3, RFC 3986 3, RFC 9110: no such name or value; h2 looks into few",
    ),
    (
        r"cno stream: RST\(1\) for type 5 \| h2 ok \[\('push'",
        "RFC 9113 8.4: a promise for which the server is not authoritative; h2 takes any",
    ),
    (
        r"PUSH_PROMISE (where push is off|on a stream that is not ours).* \| h2 ok \[\]",
        "RFC 9113 8.4: known from its first frame; h2 waits for the whole field block",
    ),
    (
        r"cno (ok|stream.*): type 8 \| h2 connection: ProtocolError Received frame with non-comp",
        "RFC 9113 6.9: the reserved bit of the increment is ignored; hyperframe takes it for more",
    ),
    (
        r"cno stream: RST\(1\) for type 0 \| h2 ok \[\('data'",
        "RFC 9113 8.1, 8.1.1: DATA before a head, or with a response that has none; h2 takes it",
    ),
    (
        r"cno stream: RST\(1\) for type [19] \| h2 ok \[\('end', \d+, ",
        "RFC 9113 8.1.1: content-length not reached when trailers end it; h2 looks at DATA only",
    ),
    (
        r"cno ok: type [19] \| h2 .* StreamInputs.RECV_INFORMATIONAL_HEADERS in state 1",
        "RFC 9113 8.1: any response may be preceded by interim ones; h2 has none on pushes",
    ),
    (
        r"cno ok: type [59] \| h2 ok \| told otherwise \[\('push', \d+, \d+\)\] \[\('push', 2147",
        "RFC 9113 6.6: the reserved bit before the promised id is ignored; h2 takes it for more",
    ),
    (
        r"cno ok: type 9 \| h2 connection: NoSuchStreamError",
        "RFC 9113 5.1: trailers on a stream that was reset meanwhile; h2 has forgotten it",
    ),
    (
        r"cno connection: type [15] .*padding longer than its frame.* \| h2 (ok|stream)",
        "RFC 9113 6.2: priority and promised id leave less room for padding; h2 counts them",
    ),
    (
        r"cno (connection|stream): .*(\[RFC 9113 10\.5|too many|too large)",
        "RFC 9113 10.5: what costs more than it brings has bounds (Limits); h2 has few",
    ),
    (
        r"h2 connection: ProtocolError Invalid input ConnectionInputs.\w+ in state "
        r"ConnectionState.CLOSED",
        "RFC 9113 6.8: streams go on after GOAWAY; for h2 any GOAWAY is the end",
    ),
    (r"frame of \d+ bytes.* \| h2 ok", "RFC 9113 4.2: h2 has not lowered its bound yet"),
    (
        r"cno ok: .* \| h2 connection: .*surrounded by whitespace",
        "RFC 9110 5.5: a value does not include the blanks around it; cno trims, h2 refuses",
    ),
    (
        r"more than two size updates",
        "RFC 7541 4.2: at most two updates can be needed; hpack obeys any number",
    ),
)

H11_EXPLAINED: Final[tuple[tuple[str, str], ...]] = (
    (
        r"cno connection: .*malformed start line|malformed HTTP version|malformed field line",
        "RFC 9112 2.2: refused where it goes wrong; h11 waits for the whole head",
    ),
    (
        r"cno connection: .*(a line ends with LF alone|begins with a blank|blank between)",
        "RFC 9112 2.2, 5.1, 5.2: refused where a line goes wrong; h11 mends, or waits for all",
    ),
    (
        r"cno connection: .*(transfer-encoding in HTTP/1.0|faulty framing by transfer-encoding)",
        "RFC 9112 6.1: Transfer-Encoding in HTTP/1.0 is faulty framing; h11 believes it",
    ),
    (
        r"cno connection: .*content-length and transfer-encoding",
        "RFC 9112 6.1: a server MAY reject a request with both; h11 lets Transfer-Encoding win",
    ),
    (
        r"cno connection: .*malformed or repeated content-length",
        "RFC 9112 6.3: a list of equal values MAY be taken; cno refuses all lists, h11 takes it",
    ),
    (
        r"cno ok \| h11 connection: no request line received",
        "RFC 9112 2.2: a server SHOULD ignore an empty line before a request; h11 does not",
    ),
    (r"h11 .*(b'SM'|b'PRI')", "RFC 9113 3.4: the preface of HTTP/2, which h11 does not know"),
    (
        r"cno ok \| h11 connection: illegal (request|status) line",
        "RFC 9112 9.6: what follows the last message of a connection is not looked at",
    ),
    (
        r"cno ok \| h11 connection: Only Transfer-Encoding: chunked is supported",
        "RFC 9112 6.3: a response of any other last coding ends with the connection",
    ),
    (
        r"cno .* \| h11 ok \| told less after HTTP/1\.0",
        "RFC 9112 9.3: HTTP/1.0 with keep-alive; h11 closes after any HTTP/1.0",
    ),
    (r"cno connection: .*HTTP version not supported", "RFC 9110 2.5: h11 waits for the whole head"),
    (
        r"cno connection: .* \| h11 ok \[\]$",
        "RFC 9112 2.2: a line that cannot be right is refused at once; h11 waits for all",
    ),
    (
        r"cno connection: .*a chunk-size line does not end with CRLF.* \| h11 ok",
        "RFC 9112 7.1: a line that ends with LF alone; h11 waits for more",
    ),
    (
        r"h11 ok \| told otherwise .*\('head', 0, b'CONNECT', .*\)\] \[.*\('end', \[\]\)\]$",
        "RFC 9110 9.3.6: after CONNECT comes a tunnel, not content; h11 tells where that ends",
    ),
    (
        r"cno connection: .*malformed chunk size.* \| h11 ok",
        "RFC 9112 7.1: numerals that are too large; 16 digits are enough, h11 takes 20",
    ),
    (
        r"cno connection: .*(too long|too many|too large)",
        "RFC 9112 2.3, 3, RFC 9110 5.4: a recipient has bounds (Limits); those of h11 are others",
    ),
    (
        r"cno ok \| h11 connection: illegal header line",
        "RFC 9110 5.5: a recipient MAY keep control characters; h11 keeps all but VT and FF",
    ),
    (r"cno connection: .*no Host", "RFC 9112 3.2: h11 asks for Host where the minor version is 1"),
    (
        r"cno connection: .*data without a request",
        "RFC 9112 9.2: octets that answer nothing; h11 leaves them to its caller",
    ),
)
