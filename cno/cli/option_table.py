"""Options of a command as a table: parsed, described by `--help`, and completed by shells from it.

Reads arguments as curl does: `-sSL`, `-ofile`, `-o file`, `--output file`, `--output=file`. (click
does so too; but importing it takes as long as a request.) Must never know what an option is for.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from cno.cli.values import Values

#: Columns of the help, and of the options in it.
WIDTH: Final = 100
INDENT: Final = 34


class ArgumentError(Exception):
    """The arguments are not what the command takes."""


class Option(Values):
    """One option. `flags`: `-o --output`; the last long one names its value.

    `metavar`: '' if the option takes no value. `parse` turns the text into the value, and raises
    ValueError with the reason. `many`: each use adds to a list. `value`: what a flag stores, in
    `name`; several flags may share a name. `default`: the value without the option. `optional`:
    the value for an option with a metavar that is given without one (only `--flag=value` has one).
    """

    flags: str
    help: str
    metavar: str = ""
    name: str = ""
    group: str = "General"
    parse: Callable[[str], Any] = str
    many: bool = False
    value: Any = True
    default: Any = None
    optional: str | None = None
    choices: tuple[str, ...] = ()
    files: bool = False  #: Shells complete names of files.

    @property
    def all_flags(self) -> list[str]:
        return self.flags.split()

    @property
    def key(self) -> str:
        """The name of the value."""
        return self.name or self.all_flags[-1].lstrip("-").replace("-", "_").replace(".", "_")


class Table(Values):
    """The options and arguments of a command."""

    command: str
    usage: str
    about: str
    options: tuple[Option, ...]
    #: What to call a missing argument; '': the command takes none, or any number.
    required: str = ""
    epilog: str = ""

    def parse(self, args: Sequence[str]) -> dict[str, Any]:
        """Return the values by name, and the `arguments`. Raises ArgumentError."""
        values: dict[str, Any] = {"arguments": []}
        for option in self.options:
            empty: Any = [] if option.many else option.default
            values.setdefault(option.key, empty)
        flags = {flag: option for option in self.options for flag in option.all_flags}
        rest = list(reversed(args))
        while rest:
            word = rest.pop()
            if word == "--":
                values["arguments"] += reversed(rest)
                break
            if word.startswith("--"):
                self._long(word, rest, flags, values)
            elif word.startswith("-") and word != "-":
                self._short(word, rest, flags, values)
            else:
                values["arguments"].append(word)
        if self.required and not values["arguments"]:
            raise ArgumentError(f"Missing argument '{self.required}'.")
        return values

    def _long(
        self, word: str, rest: list[str], flags: dict[str, Option], values: dict[str, Any]
    ) -> None:
        flag, equals, text = word.partition("=")
        option = flags.get(flag)
        if option is None:
            raise ArgumentError(unknown(flag, list(flags)))
        if not option.metavar:
            if equals:
                raise ArgumentError(f"Option '{flag}' does not take a value.")
            store(option, flag, None, values)
        elif equals:
            store(option, flag, text, values)
        elif option.optional is not None:
            store(option, flag, option.optional, values)
        else:
            store(option, flag, next_word(flag, rest), values)

    def _short(
        self, word: str, rest: list[str], flags: dict[str, Option], values: dict[str, Any]
    ) -> None:
        letters = word[1:]
        while letters:
            flag, letters = f"-{letters[0]}", letters[1:]
            option = flags.get(flag)
            if option is None:
                raise ArgumentError(unknown(flag, list(flags)))
            if option.metavar and option.optional is None:
                store(option, flag, letters or next_word(flag, rest), values)
                return
            store(option, flag, option.optional, values)


def next_word(flag: str, rest: list[str]) -> str:
    if not rest:
        raise ArgumentError(f"Option '{flag}' requires an argument.")
    return rest.pop()


def store(option: Option, flag: str, text: str | None, values: dict[str, Any]) -> None:
    """Set the value of an option. Raises ArgumentError if it cannot be this text."""
    if text is None:
        values[option.key] = option.value
        return
    if option.choices and text not in option.choices:
        raise ArgumentError(
            f"Invalid value for '{flag}': {text!r} is not {list_of(option.choices)}."
        )
    try:
        value = option.parse(text)
    except ValueError as error:
        raise ArgumentError(f"Invalid value for '{flag}': {error}") from None
    if option.many:
        values[option.key].append(value)
    else:
        values[option.key] = value


def unknown(flag: str, known: list[str]) -> str:
    """Return the error for an option that there is not, with the options that look like it."""
    from difflib import get_close_matches

    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in flag)
    near = get_close_matches(flag, [each for each in known if each.startswith("--")], 3, 0.6)
    if not near and flag.startswith("--"):
        near = [each for each in known if each.startswith(flag)][:3]
    if not near and not flag.startswith("--"):
        near = [each for each in known if each.lower() == flag.lower() and each != flag]
    hint = f" Did you mean {list_of(near)}?" if near else " See --help."
    return f"No such option: {shown}.{hint}"


def list_of(words: Sequence[str]) -> str:
    """Return words as a list in a sentence."""
    quoted = [f"'{word}'" for word in words]
    return " or ".join((", ".join(quoted[:-1]), quoted[-1])) if len(quoted) > 1 else quoted[0]


# -- values ----------------------------------------------------------------------------------------


def positive(text: str) -> float:
    """Parse seconds, above 0."""
    value = float_of(text)
    if not 0 < value < 1e9:
        raise ValueError(f"{text!r} is not above 0.")
    return value


def float_of(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number.") from None


def count(text: str) -> int:
    """Parse a number of things, 0 or more."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError(f"{text!r} is not a whole number.")
    return int(text)


def size(text: str) -> int:
    """Parse a number of bytes, with the suffixes k, M and G."""
    unit = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}.get(text[-1:].lower(), 1)
    value = float_of(text[:-1] if unit > 1 else text) * unit
    if not 1 <= value < 1 << 62:
        raise ValueError(f"{text!r} is not a number of bytes.")
    return int(value)


# -- help ------------------------------------------------------------------------------------------


def help_of(table: Table) -> str:
    """Return the text of `--help`."""
    from textwrap import fill

    parts = [f"Usage: cno {table.command} {table.usage}", ""]
    for paragraph in table.about.split("\n\n"):
        parts += [fill(paragraph, WIDTH, initial_indent="  ", subsequent_indent="  "), ""]
    for group in dict.fromkeys(option.group for option in table.options):
        parts.append(f"{group}:")
        parts += [row(option) for option in table.options if option.group == group]
        parts.append("")
    if table.epilog:
        parts += [fill(table.epilog, WIDTH, initial_indent="  ", subsequent_indent="  "), ""]
    return "\n".join(parts)


def signature(option: Option) -> str:
    """Return an option as it is typed: its flags and its value."""
    names = ", ".join(option.all_flags)
    if not option.metavar:
        return names
    return (
        f"{names}[={option.metavar}]"
        if option.optional is not None
        else (f"{names} {option.metavar}")
    )


def row(option: Option) -> str:
    """Return the lines of one option."""
    from textwrap import wrap

    head = f"  {signature(option)}"
    lines = wrap(option.help, WIDTH - INDENT)
    if len(head) < INDENT - 1:
        head = head.ljust(INDENT) + (lines.pop(0) if lines else "")
    return "\n".join([head, *(" " * INDENT + line for line in lines)])
