"""HTTP/1.1 (RFC 9112): `parse` and `body` are leaves; `recv` and `send` act on a `Core`."""
