"""docs/asgi_behaviour.md says what the other servers do, of the versions that are named there."""

from importlib import metadata

import pytest

from tests.asgi.behaviour import columns
from tests.peers import missing


@pytest.mark.slow  # starts a dozen servers for each of them
@pytest.mark.parametrize("name", [name for name in columns.SERVERS if name != "cno"])
def test_the_column_of(name: str) -> None:
    wanted = columns.versions()[name]
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        found = "none"
    if found.split(".")[:2] != wanted.split(".")[:2]:
        missing(f"{name} {wanted}, which the page is about, is not installed, but {found}")
    assert columns.column(name) == columns.kept(name)
