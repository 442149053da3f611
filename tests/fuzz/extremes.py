"""Messages that are valid except for a value that no honest peer writes.

Wherever a message names a number, a host or a list, one value or several are exchanged for an
extreme of their kind: digits without end, digits of other scripts, signs, numbers beyond 64 bits,
halves of brackets. `octets` looks at short inputs; most of these are long. Nothing but a
ProtocolError (or a WouldBlockError over HTTP/1.1) may come out of `data_received`, nothing but a
ProtocolError out of `connection_lost`. Knows the public names and the wire.
"""

import json
import random
import re
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from cno.limits import Limits
from tests.frames import (
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    PRIORITY_UPDATE,
    PUSH_PROMISE,
    REQUEST,
    SETTINGS,
    frame,
    u32,
)
from tests.fuzz.observed import SMALL, Watched, deliver, hang_up

#: What stands for a number. `int()` raises for some that `str.isdigit()` takes, and for more than
#: 4,300 digits.
NUMBERS = (
    "",
    "0",
    "00",
    "-0",
    "-1",
    "+1",
    "1_0",
    "1.5",
    "1e9",
    "0x10",
    " 1",
    "1 ",
    "1,1",
    "1, 2",
    "7" * 15,
    "9" * 19,
    "f" * 16,
    "8" + "0" * 15,
    "1" * 4_300,
    "1" * 4_301,
    "0" * 5_000,
    "f" * 4_301,
    "-" + "1" * 4_301,
    *(str(2**bits + by) for bits in (15, 16, 31, 32, 62, 63, 64) for by in (-1, 0, 1)),
    "\u0663",  # decimal, and no ASCII
    "\u00b2",  # str.isdigit() and not int()
    "\u2460",
    "\uff11",
    "nan",
    "inf",
    "\udcff",
)

#: What stands for a host, a path, a token, a list.
TEXTS = (
    "",
    ":",
    "@",
    "[",
    "]",
    "[]",
    "[::1",
    "[::1]x",
    "[v1.x]",
    "[::1%25lo]:1",
    "%",
    "%zz",
    "a" * 20_000,
    "," * 5_000,
    "a," * 3_000,
    "(" * 5_000,
    '"' * 999,
    "\\" * 999,
    "u=1;" * 2_000,
    "\x7f",
    "\t",
    "\u212a",
    "\udcff\udc80",
    "\0",
    ":path",
    "chunked, chunked",
    "100-continue",
    "h2c",
)

#: A place in a template: `{n:80}` a number, `{t:a}` a text; behind the colon what is sound there.
PLACE = re.compile(r"\{([nt]):([^}]*)\}")

H1_REQUESTS = (
    "GET {t:/} HTTP/{n:1}.{n:1}\r\nHost: {t:a}:{n:80}\r\n\r\n",
    "CONNECT {t:a}:{n:80} HTTP/1.1\r\nHost: {t:a}\r\n\r\n",
    "OPTIONS http://{t:a}:{n:80}{t:/} HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {n:3}\r\nExpect: {t:100-continue}\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {t:chunked}\r\n\r\n"
    "{n:3};{t:a}={t:b}\r\nabc\r\n{n:0}\r\n{t:x}: {n:1}\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, {t:HTTP2-Settings}\r\nUpgrade: {t:h2c}\r\n"
    "HTTP2-Settings: {t:AAMAAABk}\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nPriority: u={n:1}, i={t:?1}\r\n{t:x}: {t:y}\r\n"
    "Connection: {t:close}\r\n\r\n",
    "{t:GET} / {t:HTTP}/1.1\r\nHost: a\r\nKeep-Alive: timeout={n:5}\r\n\r\n",
)

H1_RESPONSES = (
    "HTTP/1.{n:1} {n:200} {t:OK}\r\nContent-Length: {n:3}\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: {t:chunked}\r\n\r\n{n:3}\r\nabc\r\n{n:0}\r\n\r\n",
    "HTTP/1.1 {n:103} {t:x}\r\n{t:link}: {t:a}\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 101 x\r\nConnection: {t:upgrade}\r\nUpgrade: {t:x}\r\n\r\n\0\1",
    'HTTP/1.1 304 x\r\nContent-Length: {n:3}\r\nAlt-Svc: h3=":{n:443}"; ma={n:9}\r\n'
    "Location: {t:/}\r\nContent-Range: bytes {n:0}-{n:1}/{n:2}\r\nRetry-After: {n:1}\r\n\r\n",
)

#: A field in each line: its name and value.
H2_REQUESTS = (
    ":method {t:GET}\n:scheme {t:https}\n:authority {t:a}:{n:80}\n:path {t:/}\n{t:x} {t:y}",
    ":method CONNECT\n:authority {t:a}:{n:80}",
    ":method POST\n:scheme https\n:authority a\n:path /\ncontent-length {n:3}\npriority u={n:1}",
    ":method GET\n:scheme https\n:path /\nhost {t:a}:{n:80}\ncookie {t:a}\ncookie {t:b}\nte {t:a}",
)

H2_RESPONSES = (
    ":status {n:200}\ncontent-length {n:3}\n{t:x} {t:y}",
    ":status {n:103}\nlink {t:a}",
)

Case = tuple[str, int, str]


def filled(rng: random.Random, template: str) -> str:
    """The template with one place, or a few, made extreme."""
    places = len(PLACE.findall(template))
    chosen = set(rng.sample(range(places), min(places, rng.choice((1, 1, 1, 2, 3)))))
    at = -1

    def fill(match: re.Match[str]) -> str:
        nonlocal at
        at += 1
        if at not in chosen:
            return match[2]
        return rng.choice(NUMBERS if match[1] == "n" else TEXTS)

    return PLACE.sub(fill, template)


def octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def block(lines: str) -> bytes:
    """A field block of lines, a name and a value each."""
    pairs = [line.partition(" ") for line in lines.split("\n")]
    return b"".join(
        b"\0" + string(octets(name)) + string(octets(value)) for name, _, value in pairs
    )


def string(text: bytes) -> bytes:
    """A string literal of any length (RFC 7541 5.2)."""
    left = len(text) - 127
    if left < 0:
        return bytes((len(text),)) + text
    size = bytearray((127,))
    while left > 127:
        size.append(left & 127 | 128)
        left >>= 7
    return bytes((*size, left)) + text


def field_frames(kind: int, stream: int, flags: int, payload: bytes) -> bytes:
    """A field block in as many frames as it takes."""
    pieces = [payload[at : at + 16_000] for at in range(0, len(payload), 16_000)] or [b""]
    frames = []
    for n, piece in enumerate(pieces):
        last = END_HEADERS if n == len(pieces) - 1 else 0
        frames.append(frame(9 if n else kind, last | (0 if n else flags), stream, piece))
    return b"".join(frames)


def extreme_frame(rng: random.Random) -> bytes:
    """A frame of any type whose numbers are extreme."""
    number = rng.choice((0, 1, 2, 5, 2**14, 2**24 - 1, 2**30, 2**31 - 1, 2**31, 2**32 - 1))
    stream = rng.choice((0, 1, 2, 3, 5, 2**31 - 1, 2**31, 2**32 - 1))
    flags = rng.choice((0, 1, 4, 5, 8, 9, 0x20, 0x2D, 0xFF))
    kind = rng.choice((*range(11), PRIORITY_UPDATE, 0xFF))
    if kind == SETTINGS and rng.random() < 0.8:
        key = rng.choice((0, 1, 2, 3, 4, 5, 6, 8, 9, 0xFFFF))
        return frame(SETTINGS, 0, 0, key.to_bytes(2, "big") + u32(number))
    if kind == PRIORITY_UPDATE and rng.random() < 0.8:
        value = rng.choice(("u=" + rng.choice(NUMBERS), rng.choice(TEXTS)))
        return frame(PRIORITY_UPDATE, 0, 0, u32(number) + octets(value)[:16_000])
    if kind == PUSH_PROMISE:
        return frame(kind, flags, stream, u32(number) + block("\n".join(map(" ".join, REQUEST))))
    size = rng.choice((0, 1, 3, 4, 5, 6, 8, 9, 300))
    return frame(kind, flags, stream, (u32(number) * 80)[:size])


# -- cases: what a connection is given, as latin-1 so that JSON can keep it ------------------------


def h1_case(rng: random.Random, templates: tuple[str, ...]) -> bytes:
    return b"".join(octets(filled(rng, rng.choice(templates))) for _ in range(rng.randrange(1, 4)))


def h2_case(rng: random.Random, templates: tuple[str, ...], server: bool) -> bytes:
    frames = [PREFACE + frame(SETTINGS) if server else frame(SETTINGS)]
    for n in range(rng.randrange(1, 5)):
        if rng.random() < 0.5:
            frames.append(extreme_frame(rng))
        fields = block(filled(rng, rng.choice(templates)))
        flags = rng.choice((0, END_STREAM))
        frames.append(field_frames(HEADERS, 2 * n + 1, flags, fields))
    return b"".join(frames)


def made(kind: str, mood: int) -> Watched:
    """A connection with the bounds of `mood`, and, if a client, with some requests made."""
    limits = (None, SMALL, Limits(max_line_size=None, max_header_list_size=None))[mood % 3]
    conn = Watched(kind.endswith("server"), mood, limits)
    conn.disallow_h2_upgrade = mood % 2 == 0
    conn.connection_made(kind.startswith("h2"))
    if kind == "h1-client":
        conn.attempt(lambda: conn.write_head(1, 0, "GET", "/", [(":authority", "a")], True))
        upgrade = [(":authority", "a"), ("upgrade", "x"), ("connection", "upgrade")]
        conn.attempt(lambda: conn.write_head(3, 0, "GET", "/", upgrade, True))
    elif kind == "h2-client":
        for stream in (1, 3, 5, 7):
            final = stream != 3
            conn.write_head(stream, 0, "GET", "/", [(":authority", "a")], final)
    return conn


GENERATORS: dict[str, Callable[[random.Random], bytes]] = {
    "h1-server": lambda rng: h1_case(rng, H1_REQUESTS),
    "h1-client": lambda rng: h1_case(rng, H1_RESPONSES),
    "h2-server": lambda rng: h2_case(rng, H2_REQUESTS, True),
    "h2-client": lambda rng: h2_case(rng, H2_RESPONSES, False),
}


TEMPLATES: dict[str, tuple[str, ...]] = {
    "h1-server": H1_REQUESTS,
    "h1-client": H1_RESPONSES,
    "h2-server": H2_REQUESTS,
    "h2-client": H2_RESPONSES,
}


def everywhere(kind: str, number: str) -> Iterator[str]:
    """Messages of this kind with that number in one place each."""
    for template in TEMPLATES[kind]:
        for place in PLACE.finditer(template):
            if place[1] == "n":
                text = template[: place.start()] + number + template[place.end() :]
                text = PLACE.sub(r"\2", text)
                yield wire_of(kind, text).decode("latin-1")


def wire_of(kind: str, text: str) -> bytes:
    """One message as a connection of this kind is given it."""
    if kind.startswith("h1"):
        return octets(text)
    start = PREFACE + frame(SETTINGS) if kind == "h2-server" else frame(SETTINGS)
    return start + field_frames(HEADERS, 1, 0, block(text))


def check(kind: str, mood: int, text: str) -> None:
    """One input, whole and cut; raises for what must not come out of the connection."""
    data = text.encode("latin-1")
    for cuts in ([], [len(data) // 3, len(data) // 2], [max(0, len(data) - 1)]):
        conn = made(kind, mood)
        deliver(conn, data, cuts)
        hang_up(conn)


def cases(seed: int) -> Callable[[], Case]:
    """One after the other, always the same for the same seed."""
    rng = random.Random(seed)

    def case() -> Case:
        kind = rng.choice(tuple(GENERATORS))
        return kind, rng.randrange(256), GENERATORS[kind](rng).decode("latin-1")

    return case


def search(found: Path, seconds: float, seed: int) -> list[Path]:
    """Until the time is over or something is found; the files of what was found."""
    case, count = cases(seed), 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        one = case()
        count += 1
        try:
            check(*one)
        except Exception:
            traceback.print_exc()
            found.mkdir(parents=True, exist_ok=True)
            path = found / f"{seed}-{count}.json"
            path.write_text(json.dumps(one))
            return [path]
    print(f"tried {count} inputs")
    return []


def replay(path: Path) -> None:
    check(*json.loads(path.read_text()))
