"""The interface of a driver: an in-process server or client that takes bytes and keeps its output.

Every driver takes method, path, fields and bodies as its library gives them, answers with the same
fields, and counts the bytes of received bodies in `received` and complete messages in `ended`.
"""

from typing import Protocol


class Server(Protocol):
    """One connection of a server with one of the applications below."""

    out: list[bytes]
    received: int

    def feed(self, data: bytes, /) -> None: ...


class Client(Protocol):
    """One connection of a client."""

    out: list[bytes]
    received: int
    ended: int

    def request(self) -> None: ...

    def feed(self, data: bytes, /) -> None: ...


#: Applications of a server:
#: small    when a request has ended: a short response; bodies are counted
#: grpc     when a request has ended: a response with a message and trailers
#: echo     responds at once, sends each piece of the body back, and ends with it
#: big      when a request has ended: a response of `megabytes`; each `pump` sends 1 MiB of it
#: Kinds of client:
#: small, thirty   a GET with 10 or 30 fields
#: grpc            a POST with a message; the response has trailers
#: upload          a POST of `megabytes`; each `pump` sends 1 MiB of it
