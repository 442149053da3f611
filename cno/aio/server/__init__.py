"""A server's connection: it runs the handler in a task for each request."""
