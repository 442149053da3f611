"""The errors of serving ASGI applications.

This module stays interpreted (see setup.py), so that applications can subclass them.
"""


class LifespanError(Exception):
    """The application refused to start, or failed to stop in order."""
