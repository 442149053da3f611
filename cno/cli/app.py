"""Runs the command that the arguments name. Errors are one line, never a traceback.

Knows the commands and their exit statuses. Must never know HTTP, or the options of a command.
"""

import gc
import importlib
import os
import sys

from cno.cli.commands import COMMANDS
from cno.cli.option_table import ArgumentError
from cno.cli.problems import OUTPUT_CLOSED, Problem
from cno.cli.text import one_line


def main() -> None:
    """Run the command line and exit with its status."""
    sys.exit(run_app(sys.argv[1:]))


def run_app(args: list[str]) -> int:
    """Return the exit status: 0, 1 for an error, 2 for a usage error, 130 for Ctrl-C.

    `cno get` has the exit statuses of curl (docs/get.md).
    """
    try:
        status = run_command(args)
        sys.stdout.flush()
    except ArgumentError as error:
        command = f"cno {args[0]}" if args and args[0] in COMMANDS else "cno"
        print(f"Usage: see {command} --help\n\nError: {one_line(str(error))}", file=sys.stderr)
        return 2
    except Problem as problem:
        if str(problem):
            print(f"cno: {one_line(str(problem))}", file=sys.stderr)
        if problem.status == OUTPUT_CLOSED:
            silence()
        return problem.status
    except BrokenPipeError:
        silence()
        return OUTPUT_CLOSED
    except KeyboardInterrupt:
        return 130
    return status


def silence() -> None:
    """Let nothing be written at exit, when Python flushes standard output again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run_command(args: list[str]) -> int:
    """Run a command. Raises ArgumentError and Problem."""
    if args and args[0] in COMMANDS:
        command = importlib.import_module(f"cno.cli.{args[0]}_command")
        collect_again()
        return int(command.run(args[1:]))
    return run_click(args)


def collect_again() -> None:
    """Collect garbage from now on, if `__main__` has switched that off.

    What is imported is none, and is not looked at again.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def run_click(args: list[str]) -> int:
    """Run `cno serve`, or show the help. Raises Problem."""
    try:
        import click

        from cno.cli.serve_command import app

        collect_again()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "cno":
            raise
        needs = f"the command line needs {error.name}. Install it: pip install 'cno[cli]'"
        raise Problem(needs) from None
    try:
        status = app.main(args, prog_name="cno", standalone_mode=False)
    except click.Abort:
        return 130
    except click.ClickException as refusal:
        refusal.show()
        return refusal.exit_code
    return status if isinstance(status, int) else 0
