"""HPACK against the `hpack` package: `python -m benchmarks.hpack`.

Each row decodes or encodes every block of a set of stories, with a coder per story, as on a
connection. The sets are those of http2jp/hpack-test-case, where they lie beside the checkout
(`../shared/vectors/hpack-test-case`), and otherwise made up here.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from librt.strings import BytesWriter

from benchmarks import lab, wire
from benchmarks.lab import Claim, Missing, Options, Row
from cno.hpack import Decoder, Encoder, Examiner

PUBLIC: Final = Path(__file__).resolve().parents[2] / "shared" / "vectors" / "hpack-test-case"
#: Does not judge any field: the engine's rules for fields are not part of HPACK.
EXAMINER: Final = Examiner()

Pairs = list[tuple[str, str]]
Story = list[tuple[Pairs, bytes]]


def public_stories(folder: Path) -> list[Story]:
    """Those of http2jp/hpack-test-case: what each block says, and how some encoder put it."""
    found = []
    for path in sorted(folder.glob("*.json")):
        cases = json.loads(path.read_text())["cases"]
        found.append(
            [
                (
                    [pair for field in case["headers"] for pair in field.items()],
                    bytes.fromhex(case.get("wire", "")),
                )
                for case in cases
            ]
        )
    return found


def made_stories() -> list[Story]:
    """Twenty connections of a browser: pages, and what belongs to them."""
    stories = []
    for number in range(20):
        encoder: Any = lab.peer("hpack").Encoder()
        story: Story = []
        for head in wire.request_lists("GET", wire.TEN) * 2:
            fields = [*head, ("referer", f"https://example.com/{number}/{len(story) // 3}")]
            story.append((fields, encoder.encode(fields)))
        stories.append(story)
    return stories


def blocks(stories: list[Story]) -> list[list[bytes]]:
    return [[block for _, block in story] for story in stories]


def lists(stories: list[Story]) -> list[list[Pairs]]:
    return [[fields for fields, _ in story] for story in stories]


def decode_as_engine(stories: list[list[bytes]]) -> None:
    for story in stories:
        decode = Decoder(examiner=EXAMINER).decode_fields
        for block in story:
            decode(block, 0, len(block))


def decode(make: Callable[[], Any], stories: list[list[bytes]]) -> None:
    for story in stories:
        decode = make().decode
        for block in story:
            decode(block)


def encode_as_engine(stories: list[list[Pairs]]) -> None:
    for story in stories:
        encoder = Encoder()
        write = encoder.write_pair
        for fields in story:
            out = BytesWriter()
            encoder.begin(out)
            for pair in fields:
                write(out, pair)
            out.getvalue()


def encode(make: Callable[[], Any], stories: list[list[Pairs]]) -> None:
    for story in stories:
        encode = make().encode
        for fields in story:
            encode(fields)


def sample(run: Callable[[], None], times: int, fields: int) -> float:
    def often() -> None:
        for _ in range(times):
            run()

    return lab.timed(often) / times / fields * 1e9


def row(
    case: str, runs: dict[str, Callable[[], None]], fields: int, goal: float | None, opts: Options
) -> Row:
    span = 0.01 if opts.quick else 0.2
    samples = {}
    for name, run in runs.items():
        times = max(round(span / lab.timed(run)), 1)
        samples[name] = partial(sample, run, times, fields)
    goals = {} if goal is None else {"hpack": goal}
    return Row(case, "ns per field", lab.alternate(samples, opts.rounds), goals=goals)


def sets(folder: Path, quick: bool) -> list[tuple[str, str, list[Story]]]:
    """What to do, of what, and the stories."""
    if not folder.is_dir():
        made = made_stories()
        return [("decode", "made-up stories", made), ("encode", "made-up stories", made)]
    wanted = [
        ("decode", "nghttp2-change-table-size"),
        ("decode", "go-hpack"),
        ("encode", "raw-data"),
    ]
    found = [(what, name, public_stories(folder / name)) for what, name in wanted]
    return [(what, name, stories[:3] if quick else stories) for what, name, stories in found]


def measure(opts: Options, folder: Path = PUBLIC) -> Claim:
    claim = Claim(
        "hpack",
        "HPACK",
        "Nanoseconds of processor time per header field, over whole stories of field blocks: "
        "median (least-most) of the rounds, **how many times longer the peer takes (goal)**.",
        notes=[
            "As the engine does it: by native calls; decoding, also what an examiner says of each "
            "field, which the peer has no equal of: without a goal.",
            "What bounds decoding: a third of the time, Huffman codes wait for the look-up of "
            "those before them; most of the rest makes two strings and a pair of every literal.",
        ],
        versions={"hpack": lab.version("hpack")},
    )
    try:
        theirs = lab.peer("hpack")
    except Missing as reason:
        claim.miss(str(reason))
        return claim
    for what, name, stories in sets(folder, opts.quick):
        fields = sum(len(each) for story in stories for each, _ in story)
        for variant in ("", ", as the engine does it"):
            case = f"{what} {name}{variant}"
            if not opts.wants(case):
                continue
            runs: dict[str, Callable[[], None]]
            goal: float | None
            if what == "decode":
                wires = blocks(stories)
                mine = (
                    partial(decode_as_engine, wires) if variant else partial(decode, Decoder, wires)
                )
                runs = {"cno": mine, "hpack": partial(decode, theirs.Decoder, wires)}
                goal = None if variant else 40.0  # the peer has no opinion on fields
            else:
                plain = lists(stories)
                mine = (
                    partial(encode_as_engine, plain) if variant else partial(encode, Encoder, plain)
                )
                runs = {"cno": mine, "hpack": partial(encode, theirs.Encoder, plain)}
                goal = 20.0
            claim.rows.append(row(case, runs, fields, goal, opts))
    if not folder.is_dir():
        claim.notes.append("The public stories are not beside this checkout: these are made up.")
    return claim


if __name__ == "__main__":
    lab.main(__doc__, measure)
