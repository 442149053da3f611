"""The tables of docs/get.md, made from `cno.cli`: the options of commands, and exit statuses.

`python -m tests.get_table` writes them; a test fails if that is necessary.
"""

from pathlib import Path

from cno.cli import exit_codes
from cno.cli.get_options import table as get_table
from cno.cli.load_command import table as load_table
from cno.cli.option_table import Table, signature
from cno.cli.ping_command import table as ping_table
from tests.pages import with_part
from tests.tree import ROOT

TABLES = {"get options": get_table, "ping options": ping_table, "load options": load_table}


def document() -> Path:
    """Return the path of the page with the tables."""
    return ROOT / "docs" / "get.md"


def options(table: Table) -> str:
    """Return the options of a command, without a line break at the end."""
    lines = ["| option | meaning |", "|---|---|"]
    group = ""
    for option in table.options:
        if option.group != group:
            group = option.group
            lines.append(f"| **{group}** | |")
        text = option.help.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
        lines.append(f"| `{signature(option).replace('|', chr(92) + '|')}` | {text} |")
    return "\n".join(lines)


def statuses() -> str:
    """Return the exit statuses of `cno get`."""
    rows = [f"| {status} | {text} |" for status, text in exit_codes.MEANINGS.items()]
    return "\n".join(["| status | meaning |", "|---|---|", *rows])


def wanted(text: str) -> str:
    """Return the text of the page with the current tables."""
    for name, table in TABLES.items():
        text = with_part(text, name, options(table()))
    return with_part(text, "exit statuses", statuses())


if __name__ == "__main__":
    path = document()
    path.write_text(wanted(path.read_text("utf-8")), "utf-8")
