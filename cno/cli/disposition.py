"""The name that a Content-Disposition field suggests for a file (RFC 6266).

Knows the field's syntax. Must never know whether the name is safe: `saved_file.safe_name` makes it
so.
"""

from typing import Final
from urllib.parse import unquote

#: Characters of a field that is parsed.
MAX_FIELD: Final = 4_096


def filename_of(value: str) -> str:
    """Return the name: `filename*` before `filename`; '' if there is none."""
    found: dict[str, str] = {}
    for name, text in parameters(value[:MAX_FIELD]):
        found.setdefault(name, text)
    extended = found.get("filename*", "")
    charset, _, rest = extended.partition("'")
    if rest and charset.lower() in ("utf-8", "iso-8859-1"):
        # > ext-value = charset "'" [ language ] "'" value-chars   (RFC 8187 3.2.1)
        return last_part(unquote(rest.partition("'")[2], charset, "replace"))
    return last_part(found.get("filename", ""))


def last_part(name: str) -> str:
    """Return the name without the folders that it names."""
    return name.replace("\\", "/").rpartition("/")[2]


def parameters(value: str) -> list[tuple[str, str]]:
    """Return the parameters of the field, with quoted strings unquoted."""
    found = []
    at = value.find(";")
    while 0 <= at < len(value):
        equals = value.find("=", at)
        if equals < 0:
            break
        name = value[at + 1 : equals].strip().lower()
        start = equals + 1
        while start < len(value) and value[start] in " \t":
            start += 1
        if value[start : start + 1] == '"':
            text, at = quoted(value, start + 1)
            at = value.find(";", at)
        else:
            at = value.find(";", start)
            text = value[start : len(value) if at < 0 else at].strip()
        found.append((name, text))
    return found


def quoted(value: str, at: int) -> tuple[str, int]:
    """Return a quoted string and the position after it."""
    text = ""
    while at < len(value) and value[at] != '"':
        if value[at] == "\\" and at + 1 < len(value):
            at += 1
        text += value[at]
        at += 1
    return text, at + 1
