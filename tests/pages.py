"""Parts of pages that are made from the code: they stand between two comments with their name."""


def with_part(text: str, name: str, part: str) -> str:
    """Return the text of a page with this part in place of the one that it has."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = text.partition(begin)
    _, _, behind = rest.partition(end)
    return f"{before}{begin}\n{part}\n{end}{behind}"
