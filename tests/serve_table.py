"""The table of options in docs/serve.md, made from `cno.asgi.server.config`.

`python -m tests.serve_table` writes it; a test fails if that is necessary.
"""

from pathlib import Path

from cno.asgi.server.config import flag, kind, options, variables
from tests.pages import with_part
from tests.tree import ROOT


def document() -> Path:
    """Return the path of the page with the table."""
    return ROOT / "docs" / "serve.md"


def table() -> str:
    """Return the table, without a line break at its end."""
    lines = ["| option | environment | default | meaning |", "|---|---|---|---|"]
    group = ""
    for each in options():
        if each.metadata["group"] != group:
            group = each.metadata["group"]
            lines.append(f"| **{group}** | | | |")
        name = flag(each)
        if kind(each) is bool and each.default is not False:
            name = f"{name}`, `--no-{name.removeprefix('--')}"
        names = " ".join(f"`{variable}`" for variable in variables(each))
        default = "" if each.default in (None, (), "") else f"`{each.default}`"
        text = each.metadata["help"].replace("|", "\\|")
        lines.append(f"| `{name}` | {names} | {default} | {text} |")
    return "\n".join(lines)


def wanted(text: str) -> str:
    """Return the text of the page with the current table."""
    return with_part(text, "options", table())


if __name__ == "__main__":
    path = document()
    path.write_text(wanted(path.read_text("utf-8")), "utf-8")
