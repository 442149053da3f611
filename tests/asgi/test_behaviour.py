"""docs/asgi_behaviour.md says what cno does."""

import pytest

from tests.asgi import behaviour


@pytest.mark.slow  # waits for what must not come
def test_the_column_of_cno() -> None:
    assert behaviour.column("cno") == behaviour.kept()
