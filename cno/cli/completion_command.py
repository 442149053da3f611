"""`cno completion SHELL`: a script by which bash, zsh or fish complete commands and options.

Knows the tables of options. Must never know what an option is for.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Final

from cno.cli.commands import COMMANDS
from cno.cli.option_table import ArgumentError, Option, Table, help_of

SHELLS: Final = ("bash", "zsh", "fish")
#: Commands without a table of this module.
OTHERS: Final = ("serve", "completion")


def table() -> Table:
    """Return the table of the command."""
    return Table(
        "completion",
        "bash | zsh | fish",
        "Print a script that makes a shell complete commands, options and files.\n\n"
        'bash: eval "$(cno completion bash)" in ~/.bashrc; zsh: the same in ~/.zshrc, after '
        "compinit; fish: cno completion fish > ~/.config/fish/completions/cno.fish",
        (Option("-h --help", "Show this text."),),
        "bash | zsh | fish",
    )


def run(args: list[str]) -> int:
    """Print the script. Raises ArgumentError."""
    known = table()
    if "--help" in args or "-h" in args:
        print(help_of(known))
        return 0
    (shell, *rest) = known.parse(args)["arguments"]
    if shell not in SHELLS or rest:
        raise ArgumentError(f"{shell!r} is not {', '.join(SHELLS)}")
    scripts: dict[str, Callable[[], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
    print(scripts[shell](), end="")
    return 0


def options_of(command: str) -> list[Option]:
    """Return the options of a command."""
    if command != "serve":
        made: Table = import_module(f"cno.cli.{command}_command").table()
        return list(made.options)
    try:
        from click import Option as ClickOption

        from cno.cli.serve_command import serve
    except ModuleNotFoundError:
        return []
    return [
        Option(" ".join([*each.opts, *each.secondary_opts]), each.help or "", files=True)
        for each in serve.params
        if isinstance(each, ClickOption)
    ]


def names() -> list[str]:
    """Return the names of all commands."""
    return ["serve", *COMMANDS]


def bash() -> str:
    cases = "".join(
        f"        {name}) words='{' '.join(f for o in options_of(name) for f in o.all_flags)}' ;;\n"
        for name in names()
    )
    return f"""\
_cno() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words=''
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W '{" ".join(names())}' -- "$word"))
        return
    fi
    case ${{COMP_WORDS[1]}} in
{cases}    esac
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$word"))
    else
        COMPREPLY=($(compgen -f -- "$word"))
    fi
}}
complete -o filenames -F _cno cno
"""


def zsh() -> str:
    """Return the script of bash, by zsh's support for it."""
    return f"autoload -U +X bashcompinit && bashcompinit\n{bash()}"


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish() -> str:
    known = {"serve": "Serve the files of a folder, or an application.", **COMMANDS}
    lines = [
        f"complete -c cno -n __fish_use_subcommand -a {name} -d {quoted(about)}"
        for name, about in known.items()
    ]
    for name in names():
        for option in options_of(name):
            flags = " ".join(
                f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
                for flag in option.all_flags
            )
            more = "" if not option.metavar else " -r" if option.files else " -x"
            where = f"'__fish_seen_subcommand_from {name}'"
            lines.append(f"complete -c cno -n {where} {flags}{more} -d {quoted(option.help)}")
    return "\n".join([*lines, ""])
