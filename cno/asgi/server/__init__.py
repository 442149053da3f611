"""A server of ASGI applications: `cno serve module:app`, and `cno.asgi.run`.

Knows the options of a server, its sockets and its processes. It stands on `cno.asgi.Handler`,
`cno.serve` and `cno.workers`.
"""
