"""The error for an upgrade or a tunnel that the server refuses.

This module stays interpreted (see setup.py), so that applications can subclass the class.
"""

from typing import Any

from cno.aio.client.upgrade_refused import UpgradeRefused as AsyncUpgradeRefused
from cno.sync.messages import Response


class UpgradeRefused(AsyncUpgradeRefused):
    """The server refused to upgrade; `response` is its response, of `cno.sync`.

    `status` and `headers` are the response's. A copy has the same response; one that was pickled
    has none: there `response` raises AttributeError.
    """

    def __init__(self, response: Response) -> None:
        given: Any = response
        super().__init__(given)

    @property
    def response(self) -> Response:  # type: ignore[override]  # that of the blocking client
        found: Any = super().response
        return found  # type: ignore[no-any-return]  # it is the one of `__init__`
