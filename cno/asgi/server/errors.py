"""Errors of a server that cannot begin."""

from cno.workers.child import STARTUP_FAILURE


class StartupError(Exception):
    """The server cannot begin. `status` is what its process exits with."""

    def __init__(self, text: str, status: int = STARTUP_FAILURE) -> None:
        super().__init__(text)
        self.status = status
