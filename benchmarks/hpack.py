"""HPACK against the `hpack` package: `python -m benchmarks.hpack [folder of stories]`.

Each row decodes or encodes every block of the stories in `../shared/vectors/hpack-test-case`,
with a coder per story, as on a connection. The two libraries take turns within one process; a row
gives the median time of each, per field, and the median ratio of their turns.
"""

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import hpack
from librt.strings import BytesWriter

from cno.hpack import Decoder, Encoder, decoder

STORIES: Final = Path(__file__).parents[2] / "shared" / "vectors" / "hpack-test-case"
ROUNDS: Final = 15
#: How often ours runs for one run of theirs, so that both take turns of about the same length.
REPEAT: Final = 20

Pairs = list[tuple[str, str]]


class Stories:
    """The blocks of a folder of stories: what they say, and how some encoder put it."""

    def __init__(self, folder: Path) -> None:
        stories = [json.loads(path.read_text())["cases"] for path in sorted(folder.glob("*.json"))]
        self.wire = [[bytes.fromhex(case.get("wire", "")) for case in story] for story in stories]
        self.lists: list[list[Pairs]] = [
            [[pair for field in case["headers"] for pair in field.items()] for case in story]
            for story in stories
        ]
        self.fields = sum(len(headers) for story in self.lists for headers in story)

    def decode(self) -> None:
        for story in self.wire:
            decode = Decoder().decode
            for block in story:
                decode(block)

    def decode_fields(self) -> None:
        for story in self.wire:
            decode = Decoder().decode_fields
            for block in story:
                decode(block, 0, len(block))

    def decode_theirs(self) -> None:
        for story in self.wire:
            decode = hpack.Decoder().decode
            for block in story:
                decode(block)

    def encode(self) -> None:
        for story in self.lists:
            encode = Encoder().encode
            for headers in story:
                encode(headers)

    def encode_pairs(self) -> None:
        for story in self.lists:
            encoder = Encoder()
            write = encoder.write_pair
            for headers in story:
                out = BytesWriter()
                encoder.begin(out)
                for pair in headers:
                    write(out, pair)
                out.getvalue()

    def encode_theirs(self) -> None:
        for story in self.lists:
            encode = hpack.Encoder().encode
            for headers in story:
                encode(headers)


def timed(run: Callable[[], None], repeat: int) -> float:
    start = time.perf_counter()
    for _ in range(repeat):
        run()
    return (time.perf_counter() - start) / repeat


def row(title: str, fields: int, ours: Callable[[], None], theirs: Callable[[], None]) -> None:
    rounds = [(timed(ours, REPEAT), timed(theirs, 1)) for _ in range(ROUNDS)]
    one = statistics.median(mine for mine, _ in rounds) / fields * 1e9
    other = statistics.median(others for _, others in rounds) / fields * 1e9
    ratio = statistics.median(others / mine for mine, others in rounds)
    print(f"{title:50} {one:8.0f} {other:8.0f} {ratio:8.1f}", flush=True)


def main(folder: Path) -> None:
    build = "compiled" if decoder.__file__.endswith((".so", ".pyd")) else "not compiled"
    print(f"cno ({build}) against hpack {hpack.__version__}; ns per field, median of {ROUNDS}")
    print(f"{'':50} {'cno':>8} {'hpack':>8} {'ratio':>8}")
    gc.disable()
    for name in ("nghttp2-change-table-size", "go-hpack"):
        stories = Stories(folder / name)
        row(f"decode {name}", stories.fields, stories.decode, stories.decode_theirs)
        row("  as the engine does it", stories.fields, stories.decode_fields, stories.decode_theirs)
    stories = Stories(folder / "raw-data")
    row("encode raw-data", stories.fields, stories.encode, stories.encode_theirs)
    row("  as the engine does it", stories.fields, stories.encode_pairs, stories.encode_theirs)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else STORIES)
