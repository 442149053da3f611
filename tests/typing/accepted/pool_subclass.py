"""A pool of one's own."""

from collections.abc import Iterable

import cno


class Counting(cno.Pool):
    """Counts its requests."""

    def __init__(self) -> None:
        super().__init__(max_per_origin=1)
        self.count = 0

    def fetch(self, url: str, headers: Iterable[tuple[str, str]] = ()) -> cno.Pending[cno.Response]:
        self.count += 1
        return self.request("GET", url, headers)
