"""The commands that have tables of options of their own, by name, and what they do.

Knows where each command is. Must never know its options.
"""

from typing import Final

#: Each is in the module `NAME_command`, whose `run` takes the arguments and returns the status.
COMMANDS: Final = {
    "get": "Fetch URLs, those of one server over one connection.",
}
