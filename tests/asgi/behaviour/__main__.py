"""Runs cno, uvicorn, hypercorn and granian, and writes the tables in docs/asgi_behaviour.md.

`python -m tests.asgi.behaviour`
"""

from importlib import metadata

from tests.asgi.behaviour.columns import PAGE, SERVERS, TABLES, Column, column
from tests.pages import with_part


def table(name: str, columns: dict[str, Column]) -> str:
    named = [f"{n} {metadata.version(n)}" if n != "cno" else n for n in SERVERS]
    lines = [f"| case | {' | '.join(named)} |", "|---" * (len(SERVERS) + 1) + "|"]
    for title in TABLES[name]:
        cells = [columns[each][name][title].replace("|", "\\|") for each in SERVERS]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    columns = {name: column(name) for name in SERVERS}
    text = PAGE.read_text("utf-8")
    for name in TABLES:
        text = with_part(text, name, table(name, columns))
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
