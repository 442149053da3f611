"""The fixtures of the asyncio layer's tests, for those rows that take time or a socket."""

from tests.aio.conftest import certificates, lab

__all__ = ["certificates", "lab"]
