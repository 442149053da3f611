"""docs/files.md has the options that the code has."""

from tests.files_table import document, wanted


def test_table_is_current() -> None:
    text = document().read_text("utf-8")
    assert text == wanted(text), "run: python -m tests.files_table"
