"""The commands that have tables of options of their own, by name, and what they do.

Knows where each command is. Must never know its options.
"""

from typing import Final

#: Each is in the module `NAME_command`, whose `run` takes the arguments and returns the status.
COMMANDS: Final = {
    "get": "Fetch URLs, those of one server over one connection.",
    "ping": "Measure round trips: TCP, TLS, and PING of HTTP/2.",
    "load": "Measure how many requests a server answers, and how fast.",
    "completion": "Print a script that makes a shell complete commands and options.",
}
