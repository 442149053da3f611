"""HTTP/2 (RFC 9113): `frames` and `message` are leaves; the other modules act on a `Core`."""
