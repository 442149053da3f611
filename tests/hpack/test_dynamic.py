"""The ring of entries: in and out in order, however it has grown and wrapped."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from cno.hpack.dynamic import SIZE_SHIFT, DynamicTable


class Entry:
    """Something that takes so much of a table; a note says that, and a little more."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.note = size << SIZE_SHIFT | size % 7


def entries(table: DynamicTable) -> list[object]:
    """All that a table holds, from the newest on; the slots behind are empty."""
    numbers = range(table.newest, table.oldest() - 1, -1)
    assert all(table.holds(number) for number in numbers)
    assert not table.holds(table.oldest() - 1)
    found = [table.items[number & table.mask] for number in numbers]
    for number, item in zip(numbers, found, strict=True):
        assert isinstance(item, Entry)
        assert table.notes[number & table.mask] == item.note
    assert sum(item is not None for item in table.items) == len(found) == table.count
    return found


def test_newest_first() -> None:
    table = DynamicTable(1000)
    made = [Entry(size) for size in (33, 34, 35)]
    assert [table.insert(each, each.note) for each in made] == [1, 2, 3]
    assert entries(table) == made[::-1]
    assert (table.oldest(), table.count, table.size) == (1, 3, 3 * 32 + 6)


def test_what_was_entered_is_settled_later() -> None:
    """Unless it has left."""
    table = DynamicTable(70)
    for verdict in (1, 2, 3):
        table.insert(verdict, 33 << SIZE_SHIFT | 5 << 4 | 15)
    for number, item in ((1, "one"), (2, "two"), (3, "three")):
        table.set_entry(number, item, number)
    assert [table.items[number & table.mask] for number in (2, 3)] == ["two", "three"]
    assert [table.notes[number & table.mask] for number in (2, 3)] == [
        33 << SIZE_SHIFT | 5 << 4 | verdict for verdict in (2, 3)
    ]
    assert "one" not in table.items


def test_growth_keeps_the_order() -> None:
    """Beyond the slots it began with, also when the ring has wrapped before."""
    table = DynamicTable(33 * 100)
    made = [Entry(33) for _ in range(300)]
    for at, each in enumerate(made):
        assert table.insert(each, each.note) == at + 1
        held = made[max(0, at - 99) : at + 1]
        assert entries(table) == held[::-1]


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
    queue: deque[Entry] = deque()
    for verb, number in steps:
        new = Entry(number + 32)
        room = number
        if verb == "insert":
            room = size - new.size
            assert (table.insert(new, new.note) != 0) == (room >= 0)
        elif verb == "resize":
            size = number
            table.resize(number)
        else:
            table.shrink(number)
        while queue and sum(each.size for each in queue) > max(room, 0):
            queue.pop()
        if verb == "insert" and room >= 0:
            queue.appendleft(new)
        assert entries(table) == list(queue)
        assert table.size == sum(each.size for each in queue) <= size
        assert table.max_size == size
