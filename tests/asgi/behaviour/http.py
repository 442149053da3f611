"""Cases of HTTP/1.1: requests and their responses."""

from collections.abc import Callable
from typing import Final

from tests.asgi.behaviour.servers import Answer, Server, receive, request


def show(key: str) -> Callable[[Server], str]:
    def run(server: Server) -> str:
        found = server.ask("/show/a%2Fb%20c?q=1", "cookie: a=1", "cookie: b=2", "X-Up: 1").value()
        value = found[key] if found else None
        if isinstance(value, list):
            return ", ".join(each.removeprefix("http.response.") for each in value) or "none"
        return str(value)

    return run


def cookies(server: Server) -> str:
    found = server.ask("/show", "cookie: a=1", "cookie: b=2").value()["headers"]
    return " and ".join(f"`{value}`" for name, value in found if name == "cookie")


def http10(server: Server) -> str:
    answer = server.ask("/show", version="1.0")
    return f"{answer.value()['http_version']}, {'closed' if answer.closed else 'kept'}"


def case(name: str, method: str = "GET") -> Callable[[Server], str]:
    """What becomes of a response; and of the application, if it may get an exception."""

    def run(server: Server) -> str:
        outcome = server.ask(f"/{name}", method=method).outcome()
        return f"{outcome}; {server.note(name)}" if name in RAISING else outcome

    return run


#: Cases in which the application may get an exception.
RAISING: Final = ("short", "long", "twice", "bodyfirst", "afterend", "splits", "notbytes")


def gone(name: str) -> Callable[[Server], str]:
    """The client goes in the middle of the response."""

    def run(server: Server) -> str:
        with server.connect() as sock:
            sock.sendall(request(f"/{name}"))
            sock.recv(1_000)
        return str(server.note(name) or "waits on")

    return run


def unread(server: Server) -> str:
    """A body that the application does not read."""
    with server.connect() as sock:
        sock.sendall(request("/plain", "content-length: 100000", method="POST") + bytes(100_000))
        answer = receive(sock)
    return f"{answer.outcome()}, {'closed' if answer.closed else 'kept'}"


def expect(path: str) -> Callable[[Server], str]:
    """When the client is asked for its body."""

    def run(server: Server) -> str:
        fields = ("expect: 100-continue", "content-length: 5")
        answer = Answer()
        with server.connect() as sock:
            sock.sendall(request(path, *fields, method="POST"))
            if path == "/readall":
                answer.data = sock.recv(1_000)
                if answer.interim:
                    sock.sendall(b"12345")
            answer.more(sock)
        return ", then ".join([*answer.interim, answer.status])

    return run


def trailers(server: Server) -> str:
    return "sent" if b"x-sum: 1" in server.ask("/trailers", "te: trailers").content else "not sent"


def hints(server: Server) -> str:
    answer = server.ask("/hints")
    return "103" if "103" in answer.interim else f"none; {answer.outcome()}"


def splits(server: Server) -> str:
    answer = server.ask("/splits")
    if answer.field("x-evil"):
        return "**injected**"
    return f"{answer.outcome()}; {server.note('splits')}"


CASES: Final[dict[str, Callable[[Server], str]]] = {
    "Version of the specification": show("spec"),
    "Extensions of HTTP": show("extensions"),
    "`path` of `/show/a%2Fb%20c`": show("path"),
    "`raw_path` of it": show("raw_path"),
    "Two `cookie` fields": cookies,
    "`state` of the lifespan": show("state"),
    "HTTP/1.0: `http_version`, connection": http10,
    "The client goes: `receive` returns": gone("gone"),
    "`send` after that raises": gone("sendgone"),
    "Body shorter than the content-length": case("short"),
    "Body longer than the content-length": case("long"),
    "Exception before the response": case("fails"),
    "Exception in the middle of the body": case("failswithin"),
    "Return without a response": case("nothing"),
    "Return in the middle of the body": case("half"),
    "Two `http.response.start`": case("twice"),
    "Body before the start": case("bodyfirst"),
    "Body after the end": case("afterend"),
    "204 with a body": case("nocontent"),
    "HEAD, answered with a body": case("plain", "HEAD"),
    "CR LF in the value of a field": splits,
    "A field of `str`": case("notbytes"),
    "Request body that is not read": unread,
    "`Expect`, body read": expect("/readall"),
    "`Expect`, body not read": expect("/plain"),
    "Trailers": trailers,
    "Early hints": hints,
    "`pathsend`": case("pathsend"),
}
