"""The tables of docs/asgi_behaviour.md: what a server does in each case, and what the page says."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from tests.asgi.behaviour import http, lifespan, websocket
from tests.asgi.behaviour.servers import SERVERS, running
from tests.tree import ROOT

__all__ = ["PAGE", "SERVERS", "TABLES", "column", "kept", "versions"]

#: The cells of a server: table, title, what it does.
Column = dict[str, dict[str, str]]

PAGE: Final = ROOT / "docs" / "asgi_behaviour.md"

#: The tables of the page. A case of the last one starts a server of its own.
TABLES: Final[dict[str, dict[str, Callable[[Any], str]]]] = {
    "http": http.CASES,
    "websocket": websocket.CASES,
    "lifespan": lifespan.CASES,
}

#: Cases that run at the same time.
WIDTH: Final = 6


def column(name: str) -> Column:
    """Return what a server does in each case."""

    def cells(table: str, server: object) -> dict[str, str]:
        cases = TABLES[table]
        found = threads.map(lambda run: attempt(run, server), cases.values())
        return dict(zip(cases, found, strict=True))

    with ThreadPoolExecutor(WIDTH) as threads:
        with running(name) as server:
            made = {table: cells(table, server) for table in ("http", "websocket")}
        return {**made, "lifespan": cells("lifespan", name)}


def attempt(run: Callable[[Any], str], server: object) -> str:
    try:
        return run(server)
    except (OSError, TypeError, KeyError, AttributeError) as error:
        return f"no answer ({type(error).__name__})"


def rows(table: str) -> list[list[str]]:
    """Return the cells of a table of the page, its head first."""
    text = PAGE.read_text("utf-8")
    part = text.partition(f"<!-- {table} -->\n")[2].partition(f"\n<!-- end of {table} -->")[0]
    lines = [line.strip("| ").split(" | ") for line in part.splitlines()]
    return [lines[0], *lines[2:]]


def kept(name: str) -> Column:
    """Return the column of a server on the page."""
    at = 1 + SERVERS.index(name)
    return {
        table: {row[0]: row[at].replace("\\|", "|") for row in rows(table)[1:]} for table in TABLES
    }


def versions() -> dict[str, str]:
    """Return the versions of the servers on the page."""
    head = rows("http")[0][1:]
    return {name: cell.removeprefix(name).strip() for name, cell in zip(SERVERS, head, strict=True)}
