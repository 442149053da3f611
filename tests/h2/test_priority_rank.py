"""Which of two responses is sent first (RFC 9218 8, 10): the signals of client and server."""

from cno.priority import Priority, parse, parse_fields, rank
from tests.rows import each_row


def said(text: str | None) -> Priority | None:
    return None if text is None else parse(text)


@each_row(
    ("client", "server", "expected", "result"),
    [
        (None, None, True, 6),
        (None, None, False, 7),
        ("", None, True, 6),
        ("u=0", None, True, 0),
        ("u=0, i", None, True, 1),
        ("i", None, False, 7),
        ("u=5", "u=1", True, 2),
        ("u=5, i", "u=1", True, 3),
        ("u=5, i", "i=?0", True, 10),
        (None, "u=7, i", True, 15),
        ("u=2", "", True, 4),
    ],
)
def test_rank(client: str | None, server: str | None, expected: bool, result: int) -> None:
    assert rank(said(client), said(server), expected) == result


def test_items_that_are_none() -> None:
    for text in ("u=1, x=(?2)", "u=1, x=(a", "u=1, x=(a;)", "u=1, x=?2"):
        assert parse(text) is None, text


def test_fields_of_a_message() -> None:
    assert parse_fields([("x", "u=1")]) is None
    assert parse_fields([("priority", "u=8, )")]) is None
    found = parse_fields([("Priority", "u=1"), ("x", "y"), ("priority", "i")])
    assert found is not None
    assert (found.urgency, found.incremental) == (1, 1)
