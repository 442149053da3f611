"""docs/asgi_behaviour.md says what cno does."""

import pytest

from tests.asgi.behaviour import columns


@pytest.mark.slow  # starts a dozen servers
def test_the_column_of_cno() -> None:
    assert columns.column("cno") == columns.kept("cno")
