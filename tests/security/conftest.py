"""The event loops of `tests.aio` serve here as well."""

from tests.aio.conftest import certificates, lab

__all__ = ["certificates", "lab"]
