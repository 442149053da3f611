"""Credentials of requests: `-u`, and files like ~/.netrc.

Knows the Basic scheme (RFC 7617). Must never know a request.
"""

import os
import sys
from base64 import b64encode
from collections.abc import Callable

from cno.cli.problems import Problem, reason

Credentials = Callable[[str], str | None]


def basic(user: str, password: str) -> str:
    """Return the value of an Authorization field."""
    return "Basic " + b64encode(os.fsencode(f"{user}:{password}")).decode("ascii")


def of_user(text: str) -> Credentials:
    """Return the credentials of `-u USER:PASSWORD`; on a terminal, ask for a missing password."""
    user, colon, password = text.partition(":")
    if not colon:
        if not sys.stdin.isatty():
            raise Problem(f"-u {user}: give a password, as {user}:PASSWORD", 2)
        from getpass import getpass

        password = getpass(f"Password of {user}: ")
    value = basic(user, password)
    return lambda host: value


def of_netrc(path: str | None) -> Credentials:
    """Return the credentials that a file has for each host; None: ~/.netrc, if it is there."""
    from netrc import NetrcParseError, netrc

    name = path or os.path.expanduser("~/.netrc")
    if path is None and not os.path.exists(name):
        return lambda host: None
    try:
        known = netrc(name)
    except (OSError, NetrcParseError) as error:
        text = reason(error) if isinstance(error, OSError) else str(error)
        raise Problem(f"cannot read {name}: {text}", 26) from None

    def find(host: str) -> str | None:
        found = known.authenticators(host)
        return None if found is None else basic(found[0] or "", found[2] or "")

    return find
