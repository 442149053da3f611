"""A coverage-guided search by `atheris` over the parsers of `octets`, in a separate process.

Must be the first to import the package, so that what it imports is instrumented: run as
`python -m tests.fuzz.explore TARGET SECONDS SEED FOUND [CORPUS...]` by `tests.fuzz.__main__`.
"""

import importlib
import os
import random
import sys
from typing import Any

MOST = 4_096


def cut_frames(data: bytes) -> list[bytes]:
    """Into HTTP/2 frames as their lengths say; what is left over is one more."""
    pieces = []
    while len(data) >= 9:
        end = 9 + int.from_bytes(data[:3], "big")
        pieces.append(data[:end])
        data = data[end:]
    return [*pieces, data] if data else pieces


def cut_lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def mutate_piece(atheris: Any, rng: random.Random, piece: bytes, framed: bool) -> bytes:
    """Anything but the length, which is made right again."""
    if not framed or len(piece) < 9:
        return bytes(atheris.Mutate(piece, len(piece) + 20))
    head = bytearray(piece[3:9])
    what = rng.randrange(6)
    if what == 0:
        head[0] = rng.randrange(12)
    elif what == 1:
        head[1] ^= 1 << rng.randrange(8)
    elif what == 2:
        head[2:] = rng.choice([0, 1, 2, 3, 4, 5, 7, 9]).to_bytes(4, "big")
    payload = piece[9:]
    if what > 2:
        payload = bytes(atheris.Mutate(payload, len(payload) + 20))
    return len(payload).to_bytes(3, "big") + bytes(head) + payload


def mutator(atheris: Any, framed: bool) -> Any:
    """Half of the time by pieces: one changed, doubled, dropped, moved."""

    def mutate(data: bytes, size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.4 or len(data) < 2:
            return bytes(atheris.Mutate(data, size))
        pieces = cut_frames(data[1:]) if framed else cut_lines(data[1:])
        if not pieces:
            return bytes(atheris.Mutate(data, size))
        for _ in range(rng.choice([1, 1, 2, 4])):
            at = rng.randrange(len(pieces))
            what = rng.randrange(6)
            if what == 0:
                pieces.insert(rng.randrange(len(pieces) + 1), pieces[at])
            elif what == 1 and len(pieces) > 1:
                del pieces[at]
            elif what == 2:
                other = rng.randrange(len(pieces))
                pieces[at], pieces[other] = pieces[other], pieces[at]
            else:
                pieces[at] = mutate_piece(atheris, rng, pieces[at], framed)
        return (data[:1] + b"".join(pieces))[:size]

    return mutate


def main() -> None:
    target, seconds, seed, found, *corpora = sys.argv[1:]
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["cno"]):
        octets = importlib.import_module("tests.fuzz.octets")
    if importlib.import_module("cno").COMPILED:
        raise SystemExit("only sources can be searched: run this in a checkout")
    target_of = octets.TARGETS[target]

    def check(data: bytes) -> None:
        target_of(data)

    os.makedirs(found, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={MOST}",
        f"-artifact_prefix={found}/",
        "-timeout=20",
        "-rss_limit_mb=2000",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    custom = {}
    if target[:2] in ("h1", "h2"):
        custom["custom_mutator"] = mutator(atheris, target.startswith("h2"))
    atheris.Setup([sys.argv[0], *options, *corpora], check, **custom)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
