import signal
from types import FrameType
from typing import Any

class Worker:
    SIGNALS: list[signal.Signals]
    cfg: Any
    log: Any
    sockets: list[Any]
    wsgi: Any
    ppid: int
    timeout: float
    max_requests: int
    def init_signals(self) -> None: ...
    def run(self) -> None: ...
    def notify(self) -> None: ...
    def handle_usr1(self, sig: int, frame: FrameType | None) -> None: ...
    def handle_abort(self, sig: int, frame: FrameType | None) -> None: ...
