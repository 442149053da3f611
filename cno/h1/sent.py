"""The fields of the previous response on a connection, with the lines that they became.

For speed only: most applications send the same objects again, and telling that costs less than to
check and to write each field. Data for `compose` and `send`. A leaf: knows no connection.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

#: Bytes of the lines that are kept.
MAX_LINES: Final = 2_048


@mypyc_attr(acyclic=True)
class SentFields:
    """The fields of a response; once they have been repeated, their lines, and what these say."""

    def __init__(self) -> None:
        self.pairs: list[object] = []  # tuples of str
        self.repeated = False  # they are those of the response before, too
        self.lines = b""
        self.length: i64 = 0  # the content-length among them: see `compose.Outgoing`
        self.has_date = False

    def note(self, headers: list[object]) -> None:
        """Note the fields of a response that begins."""
        size: i64 = len(headers)
        pairs = self.pairs
        if size != 0 and size == len(pairs):
            at: i64 = 0
            while at < size and headers[at] is pairs[at]:
                at += 1
            if at == size:
                self.repeated = True
                return
        self.pairs = headers.copy()
        self.repeated = False
        self.lines = b""
