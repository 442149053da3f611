"""A piece of a flood runs no more lines of Python among many pieces than among few (row A22).

`tests.stress.hostile` has the same attacks; it measures time or instructions, on compiled code too.
Lines are not counted in the compiled build.
"""

import pytest

from cno import COMPILED, raw
from tests.h2.test_accounting import lines_run
from tests.stress import hostile

FEW, MANY = 100, 400
#: Octets of a piece that make an eighth of that enough work.
LARGE = 1_000


def lines(case: hostile.Case, count: int) -> int:
    conn = hostile.started(case, hostile.OFF)
    parts = list(hostile.chunks(case, count))
    return lines_run(lambda: hostile.pour(conn, parts))


@pytest.mark.parametrize("case", hostile.CASES, ids=lambda case: case.name)
def test_a22_many_pieces_cost_no_more_each(case: hostile.Case) -> None:
    share = 8 if len(case.piece(0)) > LARGE else 1
    few, many = lines(case, FEW // share), lines(case, MANY // share)
    if not COMPILED:
        assert few > FEW // share, "nothing was counted"
        assert many < 1.05 * few * MANY / FEW + 200


@pytest.mark.parametrize("case", hostile.CASES, ids=lambda case: case.name)
def test_a22_each_ends_where_its_limits_say(case: hostile.Case) -> None:
    """With limits and a clock that is generous, only what time does not pay for ends."""
    assert hostile.survived(case, 50) == 50
    if "unread" in case.name:
        conn = hostile.started(case, hostile.ON)
        with pytest.raises(raw.ProtocolError):
            hostile.pour(conn, [case.piece(0)] * 5_000)
