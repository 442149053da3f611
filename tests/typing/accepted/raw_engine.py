"""The engine without I/O."""

from typing import assert_type

from cno import raw


class Server(raw.Connection):
    def on_message_head(
        self, stream: int, code: int, method: str, path: str, headers: list[tuple[str, str]]
    ) -> None:
        self.write_head(stream, 200, "", "", [], True)

    def on_writev(self, chunks: list[bytes]) -> None:
        print(b"".join(chunks))


def main(data: bytes) -> None:
    server = Server(server=True)
    server.connection_made(is_http2=True)
    server.data_received(data)
    assert_type(server.is_http2, bool)
    assert_type(server.next_stream, int)
    assert_type(server.write_data(1, b"data", True), int)
