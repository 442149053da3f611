"""An access log."""

import cno


def log(request: cno.Request, code: int, size: int, seconds: float) -> None:
    print(request.peer, request.method, request.path, code, size, f"{seconds:.3f}")


def main(handle: cno.Handler) -> None:
    cno.run(handle, "127.0.0.1", 8000, on_response=log)
    cno.run(handle, path="/run/socket", on_start=lambda server: print(server.sockets))
