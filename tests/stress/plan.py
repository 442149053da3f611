"""What each request is and what happens to it: a function of the seed and the request's number.

So a request that went wrong can be made again by its number alone. Knows nothing of connections.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tests.stress.bodies import LARGEST

#: Ways to talk: name, whether that is HTTP/2, whether over TLS.
WIRES = {
    "http1": (False, False),
    "http2": (True, False),
    "tls1": (False, True),
    "tls2": (True, True),
}
PEERS = ("ours", "nginx", "nghttpd")

#: What can be left out by `--without`.
INGREDIENTS = {
    "cancels": "tasks cancelled at any time, responses left in the middle",
    "slow": "readers on both sides that take their time",
    "uploads": "bodies whose producer fails in the middle",
    "crashes": "handlers that raise, before and after the head",
    "resets": "handlers that reset or refuse the stream",
    "early": "responses that end before the upload does",
    "refused": "responses that refuse a large upload",
    "relay": "connections cut, stalled, delayed and truncated in the middle",
    "restarts": "graceful restarts of the server: GOAWAY, connection: close",
    "aborts": "the server aborts some of its connections",
    "kills": "the server's process is killed and started again",
    "pools": "pools closed in the middle of everything, and replaced",
    "context": "no request runs in the context of another, or leaves its own to a connection",
}

#: Sent again once by a pool where the connection ended without an answer (RFC 9110 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"})

#: The files that nginx and nghttpd serve: sizes in bytes.
FILES = (0, 1, 1_000, 16_384, 70_000, 1_200_000)


@dataclass(frozen=True)
class Plan:
    """One request."""

    number: int
    peer: str
    wire: str
    relayed: bool
    kind: str
    method: str
    up: int  # size of the request's body
    down: int  # size of the response's
    form: str  # bytes, pieces, sized, channel, expect
    reading: str  # whole, chunks, slow, park, leave, cancel
    turns: int  # of the loop, after which the task is cancelled; -1: not so
    after: float  # seconds, after which the task is cancelled; -1: not so
    fail_at: int  # bytes, after which the producer of the body fails; -1: never

    @property
    def http2(self) -> bool:
        return WIRES[self.wire][0]

    @property
    def path(self) -> str:
        return f"/{self.kind}/{self.number}?up={self.up}&down={self.down}"

    @property
    def abandoned(self) -> bool:
        """Whether the client gives it up, sooner or later."""
        return self.turns >= 0 or self.after >= 0 or self.reading in ("leave", "cancel")

    @property
    def breaks(self) -> bool:
        """Whether it fails by itself."""
        return self.fail_at >= 0 or self.kind in ("crashlate", "reset")


#: Kinds of requests by peer: name, weight, ingredient it belongs to, methods, bodies up and down.
_KINDS: dict[str, list[tuple[str, int, str, str, bool, bool]]] = {
    "ours": [
        ("bytes", 34, "", "GET GET GET HEAD DELETE POST", False, True),
        ("pieces", 8, "", "GET QUERY POST", False, True),
        ("echo", 12, "", "POST PUT PATCH", True, False),
        ("digest", 14, "", "POST POST PUT PATCH", True, False),
        ("early", 4, "early", "POST PUT", True, True),
        ("refused", 2, "refused", "POST PUT", True, False),
        ("crash", 2, "crashes", "GET POST", False, False),
        ("crashlate", 3, "crashes", "GET POST", False, True),
        ("reset", 3, "resets", "GET POST", False, True),
        ("refuse", 2, "resets", "GET POST", False, True),
    ],
    "nginx": [
        ("range", 10, "", "GET", False, True),
        ("file", 4, "", "GET HEAD", False, True),
        ("put", 5, "", "PUT", True, False),
        ("post", 5, "", "POST", True, False),
    ],
    "nghttpd": [
        ("file", 10, "", "GET HEAD", False, True),
        ("echo", 8, "", "POST PUT", True, False),
    ],
}


@dataclass(frozen=True)
class Mix:
    """What plans are made of."""

    seed: int
    peers: Sequence[str]
    wires: Sequence[str]
    without: Collection[str] = ()

    def has(self, ingredient: str) -> bool:
        return ingredient not in self.without

    def plan(self, number: int) -> Plan:
        """Make the plan of a request."""
        chance = random.Random(self.seed << 40 | number)
        peer = chance.choice(self.peers)
        wires = [each for each in self.wires if peer != "nghttpd" or WIRES[each][0]]
        kinds = [each for each in _KINDS[peer] if not each[2] or self.has(each[2])]
        kind, _, _, methods, has_up, has_down = chance.choices(kinds, [each[1] for each in kinds])[
            0
        ]
        up = size_of(chance) if has_up else 0
        down = size_of(chance) if has_down else 0
        if kind == "file":
            down = chance.randrange(len(FILES))
        if kind == "range":
            down = max(down, 1)
        if kind == "put":
            up = max(up, 1)  # over HTTP/2 nginx answers 500 to a PUT without a body
        if kind == "post":
            up = min(up, 16_000)  # nginx does not read what it does not use
        if kind in ("refused", "early"):
            up = max(up, chance.randrange(1, 600_000))
        reading, turns, after = self._patience(chance)
        fail_at = -1
        form = chance.choice(["bytes", "bytes", "pieces", "sized", "channel", "expect"])
        if kind == "early" and form == "expect":
            form = "bytes"  # a response without a 100 says that the body is not wanted
        if self.has("uploads") and up and chance.random() < 0.06:
            form = chance.choice(["pieces", "sized"])
            fail_at = chance.randrange(up)
        return Plan(
            number=number,
            peer=peer,
            wire=chance.choice(wires),
            relayed=self.has("relay") and chance.random() < 0.4,
            kind=kind,
            method=chance.choice(methods.split()),
            up=up,
            down=down,
            form=form,
            reading=reading,
            turns=turns,
            after=after,
            fail_at=fail_at,
        )

    def _patience(self, chance: random.Random) -> tuple[str, int, float]:
        """How the response is read, and when the request is cancelled."""
        reading, turns, after = chance.choice(["whole", "chunks"]), -1, -1.0
        if self.has("slow") and chance.random() < 0.04:
            reading = chance.choice(["slow", "park"])
        if self.has("cancels") and chance.random() < 0.12:
            way = chance.randrange(4)
            if way == 0:
                turns = chance.randrange(30)
            elif way == 1:
                after = chance.expovariate(100)
            else:
                reading = "leave" if way == 2 else "cancel"
        return reading, turns, after


def size_of(chance: random.Random) -> int:
    """Bodies are small, most of them."""
    most = chance.choices([0, 2_000, 40_000, 300_000, LARGEST], [8, 67, 20, 4, 1])[0]
    return chance.randint(most // 20, most)
