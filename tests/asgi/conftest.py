"""The event loops and the wires of the tests of the asyncio layer."""

from tests.aio.conftest import certificates, lab, wire

__all__ = ["certificates", "lab", "wire"]
