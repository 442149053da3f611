"""The table of options in docs/files.md, made from the command `cno serve`.

`python -m tests.files_table` writes it; a test fails if that is necessary.
"""

from pathlib import Path

import click

from cno.asgi.server.config import options
from cno.cli.application import SHARED
from cno.cli.serve_command import serve
from tests.pages import with_part
from tests.tree import ROOT

#: Options of applications only, and what is no option of a folder.
OTHERS = {each.name for each in options()} - SHARED


def document() -> Path:
    """Return the path of the page with the table."""
    return ROOT / "docs" / "files.md"


def table() -> str:
    """Return the table, without a line break at its end."""
    lines = ["| option | default | meaning |", "|---|---|---|"]
    context = click.Context(serve)
    for each in serve.get_params(context):
        if not isinstance(each, click.Option) or each.name in OTHERS or not each.expose_value:
            continue
        names = ", ".join(f"`{name}`" for name in [*each.opts, *each.secondary_opts])
        shown = each.make_metavar(context).replace("INTEGER RANGE", "NUMBER").replace("|", "\\|")
        value = "" if each.is_flag else f" `{shown}`"
        default = "" if each.default in (None, "", (), False, True) else f"`{each.default}`"
        text = (each.help or "").replace("|", "\\|").replace("*", "\\*")
        lines.append(f"| {names}{value} | {default if each.show_default else ''} | {text} |")
    return "\n".join(lines)


def wanted(text: str) -> str:
    """Return the text of the page with the current table."""
    return with_part(text, "folder options", table())


if __name__ == "__main__":
    path = document()
    path.write_text(wanted(path.read_text("utf-8")), "utf-8")
