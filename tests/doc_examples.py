"""Runs the examples of a page as a reader would: one after the other, in one folder.

A page's code blocks are files and commands:

- `python`: a program, which is run. `cno.run(...)` in it starts a server, in a thread, for all that
  follows on the page; functions `test_...` are called. With a title, it is a file that later ones
  may import.
- `sh`: commands, which are run. A last one that serves is left running until the end of the page.
- `text title="Output"`: what the block before it prints; `...` stands for anything.
- any other block with a title: a file of that name.

The ports in `PORTS` become free ones; in commands, https://example.com/ becomes the page's server
at 8000. A comment `<!-- not run: why -->` above a block leaves it out. A comment with `run:` has
lines of Python that the page does not show, such as a server for a client's page. Where cert.pem is
named, it is there, with key.pem, ca.pem and client.pem.
"""

import asyncio
import contextlib
import inspect
import io
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
import types
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

import trustme

import cno
from tests.peers import free_port, missing
from tests.tree import ROOT

#: The ports of the examples.
PORTS: Final = ("8000", "8080", "8443", "9000", "9001")
#: Commands that keep running.
SERVERS: Final = ("cno serve", "uvicorn", "gunicorn", "hypercorn", "python server.py")
#: Commands that install something, which is installed already or cannot be.
INSTALLS: Final = ("pip install", "python3 -m venv", "python -m venv", ".venv/bin/pip")

_BLOCK = re.compile(
    r"(?:^<!-- (?P<note>not run|run): ?(?P<why>.*?)-->\n+)?"
    r"(?:^ *```(?P<language>[\w-]+)(?: title=\"(?P<title>[^\"]+)\")?[^\n]*\n(?P<text>.*?)^ *```$)?",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A code block of a page, or a comment that is run."""

    language: str
    title: str
    text: str
    skipped: str  # why it is not run; '': it is
    line: int
    is_hidden: bool = False  # a comment


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page's text, in order."""
    found = []
    for match in _BLOCK.finditer(page):
        note, why, language, title, text = match.groups()
        line = page.count("\n", 0, match.start()) + 1
        if note == "run":
            found.append(Block("python", "", why, "", line, True))
        if language is not None:
            skipped = why if note == "not run" else ""
            found.append(Block(language, title or "", text, skipped, line))
    return found


class Page:
    """The examples of one page, being run in a folder. Use it as a context manager."""

    def __init__(self, text: str, folder: Path) -> None:
        self._blocks = blocks(text)
        self._folder = folder
        self._ports = {port: str(free_port()) for port in PORTS}
        self._stack = contextlib.ExitStack()
        self._modules: list[str] = []

    def __enter__(self) -> "Page":
        self._stack.enter_context(contextlib.chdir(self._folder))
        self._stack.enter_context(mock.patch("cno.run", self._serve))
        self._stack.enter_context(mock.patch.object(sys, "path", [str(self._folder), *sys.path]))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        for name in self._modules:
            sys.modules.pop(name, None)

    def run(self) -> int:
        """Run all blocks; return how many there were to run."""
        if any("cert.pem" in block.text for block in self._blocks):
            certificate(self._folder)
        printed, count = "", 0
        for block in self._blocks:
            if block.skipped:
                continue
            text = self._with_ports(block.text)
            if block.language == "text":
                if block.title == "Output":
                    assert matches(text, printed), f"line {block.line}: printed {printed!r}"
            elif block.language == "python":
                printed, count = self._python(block, text), count + 1
            elif block.language == "sh":
                home = f"http://127.0.0.1:{self._ports['8000']}/"
                text = text.replace("https://example.com/", home)
                printed, count = self._commands(text), count + 1
            elif block.title:
                self._folder.joinpath(block.title).write_text(text, "utf-8")
        return count

    def _with_ports(self, text: str) -> str:
        return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda match: self._ports[match[1]], text)

    def _python(self, block: Block, text: str) -> str:
        name = block.title or f"example_{block.line}.py"
        path = self._folder / name
        path.write_text(text, "utf-8")
        module = types.ModuleType(path.stem)
        module.__file__ = str(path)
        if re.search(r"serve_forever\(|trio\.run\(", text):
            self._start([sys.executable, name])
            return ""
        module.__dict__["start"] = self._start  # for comments that are run
        # Known by its name, for dataclasses and for later blocks that import it.
        sys.modules[path.stem] = module
        self._modules.append(path.stem)
        module.__dict__["__name__"] = path.stem if "__name__" in text else "__main__"
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(text, str(path), "exec"), module.__dict__)
            for test in [each for key, each in vars(module).items() if key.startswith("test_")]:
                if inspect.iscoroutinefunction(test):
                    asyncio.run(test())
                elif inspect.isfunction(test):
                    test()
        module.__dict__["__name__"] = path.stem
        return output.getvalue()

    def _commands(self, text: str) -> str:
        lines = text.replace("\\\n", " ").splitlines()
        lines = [re.sub(r"\s#\s.*", "", line).strip() for line in lines]
        kept = [line for line in lines if line and not line.startswith((*INSTALLS, "#"))]
        server = kept.pop() if kept and is_server(kept[-1]) else ""
        printed = ""
        if kept:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", "\n".join(kept)],
                capture_output=True,
                text=True,
                env=environment(),
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, f"{kept}: {done.stderr}{done.stdout}"
            printed = done.stdout
        if server:
            variables: dict[str, str] = {}
            words = shlex.split(server)
            while "=" in words[0]:
                name, _, value = words.pop(0).partition("=")
                variables[name] = value
            if words[:2] == ["cno", "serve"] and not {"--port", "-p", "--bind", "--fd"} & {*words}:
                words += ["--port", self._ports["8000"]]
            self._start(words, None, variables)
        return printed

    def _start(
        self,
        command: list[str],
        descriptor: int | None = None,
        variables: dict[str, str] | None = None,
    ) -> None:
        """Start a server as a program, and wait until it listens.

        Its port is one that the command, a file that it names or a configuration has. One that
        inherits the `descriptor` of a socket listens already.
        """
        texts = [*command]
        for path in self._folder.iterdir():
            if path.name in command or path.suffix in (".cfg", ".conf"):
                texts.append(path.read_text("utf-8"))
        named = {port for port in self._ports.values() if any(port in text for text in texts)}
        ports = {port for port in named if not listens(port)}
        log = self._stack.enter_context(tempfile_log(self._folder))
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env=environment() | (variables or {}),
            pass_fds=[] if descriptor is None else [descriptor],
        )
        self._stack.callback(stop, process)
        deadline = time.monotonic() + 30
        while descriptor is None and not any(listens(port) for port in ports):
            log.seek(0)
            assert process.poll() is None, f"{command}: {log.read()!r}"
            assert time.monotonic() < deadline, f"{command}: {log.read()!r}"
            time.sleep(0.05)

    def _serve(self, handler: cno.Handler, *address: Any, **options: Any) -> None:
        """In place of `cno.run`: serve in a thread until the end of the page."""
        on_start = options.pop("on_start", None)
        options.pop("loop_factory", None)
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

        async def main() -> None:
            async with await cno.serve(handler, *address, **options) as listener:
                if on_start is not None:
                    on_start(listener)
                stop = asyncio.Event()
                started.set_result((asyncio.get_running_loop(), stop))
                await stop.wait()

        def run() -> None:
            try:
                asyncio.run(main())
            except BaseException as error:
                if started.done():
                    raise
                started.set_exception(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        loop, stop = started.result(10)

        def end() -> None:
            loop.call_soon_threadsafe(stop.set)
            thread.join(10)

        self._stack.callback(end)


def is_server(line: str) -> bool:
    """Return whether a command keeps running. Variables may stand before it."""
    return re.sub(r"^(\w+=\S+ )+", "", line).startswith(SERVERS)


@contextlib.contextmanager
def tempfile_log(folder: Path) -> Iterator[Any]:
    """Give a file for what a program prints."""
    with folder.joinpath(f".log{time.monotonic_ns()}").open("w+b") as log:
        yield log


def environment() -> dict[str, str]:
    """Return the environment of commands: those of this Python come first."""
    bin_folder = os.path.dirname(sys.executable)
    found = os.environ | {"PATH": f"{bin_folder}:{os.environ.get('PATH', '')}:/usr/sbin"}
    found.pop("COLUMNS", None)
    return found


def listens(port: str) -> bool:
    """Return whether something listens there."""
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", int(port)), 1).close()
        return True
    return False


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a server as an operator does."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def certificate(folder: Path) -> None:
    """Write a certificate for localhost, its key, and the authority behind it."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
    folder.joinpath("cert.pem").write_bytes(chain)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    client = authority.issue_cert("client@example.com")
    client.private_key_and_cert_chain_pem.write_to_path(str(folder / "client.pem"))


def matches(wanted: str, printed: str) -> bool:
    """Return whether this was printed; `...` stands for anything."""
    pattern = ".*?".join(re.escape(part) for part in wanted.strip().split("..."))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def extras() -> set[str]:
    """Return the extras of the package."""
    text = ROOT.joinpath("pyproject.toml").read_text("utf-8")
    return set(tomllib.loads(text)["project"]["optional-dependencies"])


def needs(program: str) -> None:
    """Skip a page whose program is not installed; fail in CI."""
    import shutil

    if shutil.which(program, path=environment()["PATH"]) is None:
        missing(f"{program} is not installed")
