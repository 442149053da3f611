"""docs/get.md has the options and the exit statuses that the code has."""

from tests.get_table import document, wanted


def test_tables_are_current() -> None:
    text = document().read_text("utf-8")
    assert text == wanted(text), "run: python -m tests.get_table"
