"""The event loops of `tests.aio` serve here as well."""

from pathlib import Path

import pytest

from tests.aio.conftest import OLD_THROW, certificates, lab

__all__ = ["certificates", "lab"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(OLD_THROW))
