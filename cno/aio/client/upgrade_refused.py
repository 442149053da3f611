"""The error for an upgrade or a tunnel that the server refuses.

Knows the response that refused. Must never know which protocol was requested.
"""

from typing import TYPE_CHECKING, Any, cast

from cno.aio.errors import StreamError
from cno.aio.fields import Headers
from cno.errors import rebuild

if TYPE_CHECKING:
    from cno.aio.client.connection import Response


class UpgradeRefused(StreamError):
    """The server does not want to upgrade; `response` says what it says instead.

    `status` and `headers` are the response's. A copy has the same response; one that was pickled
    has left it, and its connection, behind: there `response` raises AttributeError.
    """

    status: int
    headers: Headers
    _response: "Response | None"

    def __init__(self, response: "Response") -> None:
        super().__init__(f"the server refused with {response.code}", stream=response.stream, code=0)
        self.status = response.code
        self.headers = response.headers
        self._response = response

    @property
    def response(self) -> "Response":
        if self._response is None:
            raise AttributeError("the response is in the process that received it")
        return self._response

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (type(self), self.args), {**self.__dict__, "_response": None}

    def __copy__(self) -> "UpgradeRefused":
        return self.__deepcopy__(None)

    def __deepcopy__(self, memo: object) -> "UpgradeRefused":
        same = cast(UpgradeRefused, rebuild(type(self), self.args))
        same.__dict__.update(self.__dict__)
        return same
