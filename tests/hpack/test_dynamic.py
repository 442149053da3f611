"""The ring of entries: in and out in order, however it has grown and wrapped."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from cno.hpack import Field
from cno.hpack.dynamic import DynamicTable


def field(octets: int) -> Field:
    return Field("n", 1, octets - 1)


def test_newest_first() -> None:
    table = DynamicTable(1000)
    fields = [field(n) for n in (1, 2, 3)]
    for each in fields:
        table.insert(each)
    assert [table.get(age) for age in range(3)] == fields[::-1]
    assert table.oldest() is fields[0]
    assert (table.count, table.size) == (3, 3 * 32 + 6)


def test_growth_keeps_the_order() -> None:
    """Beyond the slots it began with, also when the ring has wrapped before."""
    table = DynamicTable(33 * 100)
    fields = [field(1) for _ in range(300)]
    for at, each in enumerate(fields):
        table.insert(each)
        held = fields[max(0, at - 99) : at + 1]
        assert table.entries() == held[::-1]


@given(
    size=st.integers(0, 600),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("insert"), st.integers(1, 300)),
            st.tuples(st.just("resize"), st.integers(1, 600)),
            st.tuples(st.just("shrink"), st.integers(1, 600)),
        ),
        max_size=60,
    ),
)
def test_as_a_plain_queue_would(size: int, steps: list[tuple[str, int]]) -> None:
    table = DynamicTable(size)
    queue: deque[Field] = deque()
    for verb, number in steps:
        new = field(number)
        room = number
        if verb == "insert":
            room = size - new.size
            table.insert(new)
        elif verb == "resize":
            size = number
            table.resize(number)
        else:
            table.shrink(number)
        while queue and sum(each.size for each in queue) > max(room, 0):
            queue.pop()
        if verb == "insert" and room >= 0:
            queue.appendleft(new)
        assert table.entries() == list(queue)
        assert table.size == sum(each.size for each in queue) <= size
        assert table.max_size == size
