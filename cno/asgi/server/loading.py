"""Finds an application by its name, "module:attribute".

Knows imports. Must never know what an application does.
"""

import asyncio
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

from cno.aio.running import usual_loop_factory
from cno.asgi.lifespan import App
from cno.asgi.server.config import Config
from cno.asgi.server.errors import StartupError


def load_environment(config: Config) -> None:
    """Set the variables of `--env-file`, and the folder of `--app-dir`."""
    if config.env_file is not None:
        try:
            from dotenv import load_dotenv
        except ImportError:
            raise StartupError("--env-file needs python-dotenv: pip install 'cno[serve]'") from None
        if not load_dotenv(config.env_file) and not os.path.isfile(config.env_file):
            raise StartupError(f"cannot read {config.env_file}")
    folder = os.path.abspath(config.app_dir or ".")
    if folder not in sys.path:
        sys.path.insert(0, folder)


def load(config: Config) -> App:
    """Return the application, ASGI 3. Raises StartupError, and what its module raises."""
    app = find(config.app) if isinstance(config.app, str) else config.app
    if config.factory:
        try:
            app = app()
        except TypeError as error:
            raise StartupError(f"the factory {config.app} failed: {error}") from error
    if not callable(app):
        raise StartupError(f"{config.app} is no ASGI application: it cannot be called")
    return version_3(app)


def version_3(app: Any) -> App:
    """Return an application as one of ASGI 3, whichever version it is of."""
    return Version2(app) if is_version_2(app) else app


def find(name: str) -> Any:
    """Return the attribute of a module. Raises StartupError."""
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise StartupError(f"{name!r} should be MODULE:NAME")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module + ".").startswith(error.name + "."):
            raise
        raise StartupError(f"there is no module {module!r}") from None
    for each in attribute.split("."):
        try:
            found = getattr(found, each)
        except AttributeError:
            raise StartupError(f"the module {module!r} has no {attribute!r}") from None
    return found


def is_version_2(app: Any) -> bool:
    """Return whether an application takes its scope alone, as in ASGI 2."""
    if inspect.isclass(app):
        return not hasattr(app, "__await__")
    call = app if inspect.isfunction(app) else getattr(type(app), "__call__", None)  # noqa: B004  # not whether, but which
    if call is None or inspect.iscoroutinefunction(call):
        return False
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return False
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return False
    return len([each for each in parameters if each.default is each.empty]) == 1


class Version2:
    """An application of ASGI 2 as one of ASGI 3."""

    def __init__(self, app: Callable[[Any], Any]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope)(receive, send)


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the event loop that `--loop` names. Raises StartupError."""
    if name == "asyncio":
        return asyncio.new_event_loop
    if name in ("auto", "uvloop"):
        made = usual_loop_factory()
        if made is None and name == "uvloop":
            raise StartupError("--loop uvloop: it is not installed")
        return made or asyncio.new_event_loop
    found: Callable[[], asyncio.AbstractEventLoop] = find(name)
    return found
