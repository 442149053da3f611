"""Colours for source text, made by a process of its own: it can be killed when it takes too long.

Pygments works by regular expressions, whose time a hostile text can make quadratic in its length,
and which neither a thread nor a signal interrupts. So this file is also a program: text in, colours
out. It imports nothing of cno, so that it runs from wherever it is. Must never know where a text
comes from.
"""

import asyncio
import sys
from typing import Final

#: Seconds that highlighting may take, of a processor and altogether; beyond, there are no colours.
MAX_CPU: Final = 1
MAX_TIME: Final = 4.0
#: Bytes of the highlighted text.
MAX_SIZE: Final = 4 << 20


async def highlighted(text: str, lexer: str) -> str | None:
    """The text with colours of a terminal; None: it takes too long, or cannot be done here."""
    try:
        # -P: a module in the current folder, downloaded perhaps, is not imported.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", __file__, lexer),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=65_536,
        )
    except (OSError, ValueError):
        return None
    try:
        async with asyncio.timeout(MAX_TIME):
            return await talk(process, text.encode("utf-8", "replace"))
    except (TimeoutError, OSError):
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()  # what is in the pipe, and its end


async def talk(process: asyncio.subprocess.Process, data: bytes) -> str | None:
    """Give the process its text, take what it makes of it."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(data)
    process.stdin.close()  # it reads all before it writes
    found = bytearray()
    while chunk := await process.stdout.read(65_536):
        found += chunk
        if len(found) > MAX_SIZE:
            return None
    return found.decode("utf-8", "replace") if await process.wait() == 0 else None


def main() -> None:
    """The program. Its argument is the name of a lexer."""
    from rich.color import ColorSystem
    from rich.console import Console
    from rich.syntax import Syntax

    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU, MAX_CPU))
    except (ImportError, ValueError, OSError):
        pass
    text = sys.stdin.buffer.read().decode("utf-8")
    syntax = Syntax("", sys.argv[1], theme="ansi_dark", tab_size=0)
    # Not printed by the console, which would wrap it: that takes longer than all the rest.
    for segment in syntax.highlight(text).render(Console(), end=""):
        piece, style = segment.text, segment.style
        if style is not None:
            piece = style.render(piece, color_system=ColorSystem.STANDARD)
        sys.stdout.buffer.write(piece.encode("utf-8"))


if __name__ == "__main__":
    main()
