"""`cno serve MODULE:NAME`: the options of applications on the command line, in the environment and
in a TOML file.

Knows click, and the table of options in `cno.asgi.server.config`. Must never know what they do.
"""

import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import Field
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from cno.asgi.server.config import Config, flag, is_repeated, kind, options, variables
from cno.cli.problems import Problem, reason
from cno.limits import Limits

#: Options that folders and applications share.
SHARED: Final = {
    "local_ca",
    "folder",
    "host",
    "port",
    "cert",
    "key",
    "self_signed",
    "log",
    "quiet",
    "limits",
}

#: Options of applications that folders have, too.
BOTH: Final = {"uds", "uds_mode", "fd"}

#: What options of applications are called for folders.
INSTEAD: Final = {"ssl_certfile": "--cert", "ssl_keyfile": "--key", "header": "--add-header"}

_NAME: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


class Lines(click.types.StringParamType):
    """Texts with spaces: an environment variable has one of them in each line."""

    envvar_list_splitter = "\n"


class Command(click.Command):
    """A command whose help has the options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        named = {each.name: each.metadata["group"] for each in options()}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                title = named.get(parameter.name or "", "")
                if parameter.name in SHARED:
                    title = ""
                heading = f"Applications: {title}" if title else "Options"
                groups.setdefault(heading, []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def application_options(command: Any) -> Any:
    """Add the options of applications to a command, and `--config`."""
    for each in reversed(options()):
        if each.name not in SHARED:
            command = click_option(each)(command)
    return click.option(
        "--config",
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        envvar="CNO_CONFIG",
        callback=read_config,
        help="Take options from this TOML file: names as here, a table [limits].",
    )(command)


def click_option(each: Field[Any]) -> Callable[[Any], Any]:
    """Return the click option for a field of `Config`."""
    name, made, more = flag(each), kind(each), each.metadata
    settings: dict[str, Any] = {
        "default": each.default,
        "help": more["help"],
        "envvar": variables(each),
        "metavar": more.get("metavar"),
        "show_default": each.default not in (None, (), "") and made is not bool,
    }
    if made is bool:
        names = name if each.default is False else f"{name}/--no-{name.removeprefix('--')}"
        if each.default is False:
            settings["is_flag"] = True
        return click.option(names, each.name, **settings)
    settings["hidden"] = not more.get("show", True)
    if "choices" in more and made is str:
        settings["type"] = click.Choice(more["choices"])
    elif "choices" in more:
        settings["type"] = click.IntRange(min(more["choices"]), max(more["choices"]))
    elif made is int:
        settings["type"] = click.IntRange(min=more.get("least"))
    elif made is float:
        settings["type"] = click.FloatRange(min=more.get("least"))
    elif name == "--header":
        settings["type"] = Lines()
    return click.option(name, each.name, multiple=is_repeated(each), **settings)


def read_config(ctx: click.Context, parameter: click.Parameter, path: str | None) -> None:
    """Make the values of a TOML file the defaults of the options. Raises Problem, UsageError."""
    if path is None:
        return
    try:
        found = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Problem(f"cannot use {path}: {reason(error)}", 2) from None
    names: dict[str, str] = {"app": "folder"}
    for each in ctx.command.params:
        if each.name and each.name not in ("help", parameter.name):
            names[each.name] = each.name
            for long in each.opts:
                names[long.lstrip("-").replace("-", "_")] = each.name
    values: dict[str, Any] = {}
    for key, value in found.items():
        name = names.get(key.replace("-", "_"))
        if name is None:
            raise click.UsageError(f"{path}: there is no option {key!r}")
        if name == "limits" and isinstance(value, dict):
            value = [f"{limit}={str(amount).lower()}" for limit, amount in value.items()]
        if isinstance(value, dict):
            raise click.UsageError(f"{path}: {key} is no table")
        values[name] = value
    ctx.default_map = {**(ctx.default_map or {}), **values}


def is_application(target: str) -> bool:
    """Return whether a target of `cno serve` names an application: MODULE:NAME, and no folder."""
    return _NAME.fullmatch(target) is not None and not os.path.exists(target)


def split_options(given: dict[str, Any], ctx: click.Context) -> dict[str, Any]:
    """Take the options of applications out of `given`, and return them.

    Raises UsageError for options on the command line that are not for this kind of target.
    """
    own = {each.name for each in options()} - SHARED
    found = {name: given.pop(name) for name in own}
    application = is_application(given["folder"])
    wrong = set(given) - SHARED if application else own - BOTH
    if not application:
        given.update((name, found[name]) for name in BOTH)
    for name in sorted(wrong):
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            parameter = next(each for each in ctx.command.params if each.name == name)
            what = "folders" if application else "applications, MODULE:NAME"
            if name in INSTEAD and not application:
                what += f"; for a folder it is {INSTEAD[name]}"
            raise click.UsageError(f"{parameter.opts[0]} is for {what}")
    return found


def serve_application(given: dict[str, Any], own: dict[str, Any], limits: Limits) -> int:
    """Serve an application until a signal. Return the exit status."""
    from cno.asgi.server.run import launch

    module, _, name = given["folder"].partition(":")
    if module.endswith(".py"):
        plain = module.removesuffix(".py")
        raise Problem(f"{given['folder']}: give the module's name, {plain}:{name}", 2)
    with ExitStack() as stack:
        if given["cert"] is not None:
            own["ssl_certfile"], own["ssl_keyfile"] = given["cert"], given["key"]
        if given["self_signed"] or given["local_ca"]:
            own["ssl_certfile"] = own_certificate(given["host"], given["local_ca"], stack)
        if given["log"] is not None:
            own["access_log"] = given["log"]
        if given["quiet"]:
            own["access_log"], own["log_level"] = False, "error"
        config = Config(
            app=given["folder"], host=given["host"], port=given["port"], limits=limits, **own
        )
        return launch(config)


def own_certificate(host: str, local_ca: bool, stack: ExitStack) -> str:
    """Return a file with a new certificate and its key, for as long as the server runs."""
    from cno.cli.certificates import issue, local_authority, new_certificate

    if local_ca:
        authority = local_authority(authority_folder())
        made = issue(authority.issuer, [host])
    else:
        made = new_certificate([host])
    folder = Path(tempfile.mkdtemp(prefix="cno."))  # for this user alone
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "certificate.pem"
    path.write_bytes(made.private_key_and_cert_chain_pem.bytes())
    return str(path)


def authority_folder() -> Path:
    """Return where the local authority is kept, unless it is mkcert's."""
    return Path(click.get_app_dir("cno")) / "ca"
