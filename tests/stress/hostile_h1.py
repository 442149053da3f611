"""What hostile octets of HTTP/1.1 cost as they become many: `python -m tests.stress.hostile_h1`.

Per class of attack, processor time per piece at 1,000 pieces and at 50,000, each in a call of its
own: nothing may cost more because there was much of it before. Limits are off, so that the
connection lives and one head, line or body goes on and on.
"""

import argparse
import sys
from dataclasses import dataclass
from typing import Final

import cno.raw
from benchmarks import lab
from cno.limits import Limits

FEW: Final = 1_000
MANY: Final = 50_000
#: How much more a piece may cost among many.
AT_MOST: Final = 1.2

OFF: Final = Limits(
    max_line_size=None,
    max_header_list_size=None,
    max_header_fields=None,
    max_chunk_ext_size=None,
    max_trailer_size=None,
    max_trailer_fields=None,
    max_informational=None,
    allow_bare_lf=True,
    allow_equal_content_lengths=True,
)
STRICT: Final = Limits(max_line_size=None, max_header_list_size=None, max_header_fields=None)

GET: Final = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OLD: Final = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
HEAD: Final = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKED: Final = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
OK: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Case:
    """One class of attack: `first`, then `piece` again and again, to a client or to a server.

    `octets`: the piece is given octet by octet, and an octet is what is counted. `whole`: all
    pieces come in one call. `corked`: nothing is written out in between.
    """

    name: str
    piece: bytes
    first: bytes = b""
    client: bool = False
    octets: bool = False
    whole: bool = False
    corked: bool = False
    answers: bool = True
    limits: Limits = OFF


CASES: Final = [
    Case("E17 requests", GET),
    Case("E17 requests at once", GET, whole=True),
    Case("E17 requests, octets", GET, octets=True),
    Case("E17 requests behind 16", GET, GET * 16, answers=False),
    Case("E17 requests, corked", GET, corked=True),
    Case("E17 HTTP/1.0 requests, corked", OLD, corked=True),
    Case(
        "E16 behind an upgrade",
        b"x",
        HEAD + b"Connection: upgrade\r\nUpgrade: x\r\n\r\n",
        answers=False,
    ),
    Case("E18 behind the last request", GET, HEAD + b"Connection: close\r\n\r\n", answers=False),
    Case("E19 target, octets", b"a", b"GET /", octets=True),
    Case("E19 target, strict", b"a", b"GET /", limits=STRICT),
    Case("E19 field name, octets", b"a", HEAD, octets=True, limits=STRICT),
    Case("E19 field value, octets", b"a", HEAD + b"X: ", octets=True, limits=STRICT),
    Case("E19 field value, lenient", b"a", HEAD + b"X: ", octets=True),
    Case("E19 fields", b"X: y\r\n", HEAD, limits=STRICT),
    Case("E19 fields at once", b"X: y\r\n", HEAD, whole=True, limits=STRICT),
    Case("E19 fields, octets", b"X: y\r\n", HEAD, octets=True, limits=STRICT),
    Case("E19 fields, lenient", b"X: y\r\n", HEAD),
    Case("E19 fields at once, lenient", b"X: y\n", HEAD, whole=True),
    Case("E9 LF lines, octets", b"X: y\n", HEAD, octets=True),
    Case("E4 lengths that agree", b"Content-Length: 5\r\n", HEAD),
    Case("E2 Connection", b"Connection: x-%d\r\n", HEAD, limits=STRICT),
    Case("E8 chunks of 1 octet", b"1\r\nx\r\n", CHUNKED),
    Case("E8 chunks at once", b"1\r\nx\r\n", CHUNKED, whole=True),
    Case("E8 chunks, octets", b"1\r\nx\r\n", CHUNKED, octets=True),
    Case("E8 chunks with extensions", b'1;a=b;c="d e"\r\nx\r\n', CHUNKED),
    Case("E8 one extension, octets", b"a", CHUNKED + b"1;", octets=True),
    Case("E8 many extensions, octets", b";a", CHUNKED + b"1", octets=True),
    Case("E8 trailers", b"X: y\r\n", CHUNKED + b"0\r\n"),
    Case("E8 trailers at once", b"X: y\r\n", CHUNKED + b"0\r\n", whole=True),
    Case("E8 trailers, octets", b"X: y\r\n", CHUNKED + b"0\r\n", octets=True),
    Case("E21 informational", b"HTTP/1.1 103 x\r\n\r\n", client=True),
    Case("E21 informational at once", b"HTTP/1.1 103 x\r\n\r\n", client=True, whole=True),
    Case("E21 informational, octets", b"HTTP/1.1 103 x\r\n\r\n", client=True, octets=True),
    Case("E21 status line, octets", b"a", b"HTTP/1.1 200 ", client=True, octets=True),
    Case("E21 response chunks", b"1\r\nx\r\n", OK, client=True),
    Case("E21 until the end, octets", b"x", b"HTTP/1.1 200 OK\r\n\r\n", client=True, octets=True),
    Case("E21 behind the last response", b"x", b"HTTP/1.0 204 x\r\n\r\n", client=True),
]


class Target(cno.raw.Connection):
    """Reads, answers what is complete if `answers`, and keeps nothing."""

    answers = False

    def on_writev(self, chunks: list[bytes]) -> None:
        pass

    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        pass

    def on_message_data(self, stream: int, data: bytes) -> None:
        pass

    def on_message_tail(self, stream: int, trailers: list[tuple[str, str]] | None) -> None:
        if self.answers:
            self.write_head(stream, 200, "", "", [("connection", "x-y")], True)


def started(case: Case) -> Target:
    conn = Target(not case.client, limits=case.limits)
    conn.connection_made(False)
    conn.answers = case.answers and not case.client
    if case.client:
        conn.write_head(1, 0, "GET", "/", [(":authority", "a")], True)
    if case.first:
        conn.data_received(case.first)
    if case.corked:
        conn.cork()
    return conn


def parts(case: Case, count: int) -> list[bytes]:
    """So many pieces, or octets, as they are given."""
    if case.octets:
        data = case.piece * (count // len(case.piece) + 1)
        return [data[at : at + 1] for at in range(count)]
    pieces = [case.piece.replace(b"%d", b"%d" % n) for n in range(count)]
    return [b"".join(pieces)] if case.whole else pieces


def pour(conn: Target, given: list[bytes]) -> None:
    for part in given:
        try:
            conn.data_received(part)
        except cno.raw.WouldBlockError:
            pass


def cost(case: Case, count: int, conns: int = 1) -> float:
    """Microseconds per piece, over so many connections."""
    targets = [started(case) for _ in range(conns)]
    given = parts(case, count)

    def run() -> None:
        for conn in targets:
            pour(conn, given)

    return lab.timed(run) / count / conns * 1e6


def main() -> int:
    """Print a table; 1 if anything costs too much more among many."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=MANY)
    parser.add_argument("--only", default="", help="cases, by parts of their names: a,b,c")
    args = parser.parse_args()
    names = args.only.split(",")
    rows, worst = [], ("", 0.0)
    for case in CASES:
        if not any(name in case.name for name in names):
            continue
        few = min(cost(case, FEW, 20) for _ in range(3 * args.rounds))
        many = min(cost(case, args.many) for _ in range(args.rounds))
        worst = max(worst, (case.name, many / few), key=lambda found: found[1])
        rows.append([case.name, lab.short(few), lab.short(many), f"{many / few:.2f}"])
    print("; ".join(f"{name} {value}" for name, value in lab.machine().items()) + "\n")
    print(lab.table(["us", f"of {FEW:,}", f"of {args.many:,}", "ratio"], rows))
    print(f"\nworst: {worst[1]:.2f} ({worst[0]}); at most {AT_MOST}")
    return int(worst[1] > AT_MOST)


if __name__ == "__main__":
    sys.exit(main())
