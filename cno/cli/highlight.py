"""Syntax highlighting, in a child process that can be killed when it takes too long.

A hostile text can make the regular expressions of Pygments take quadratic time, and neither a
thread nor a signal interrupts them. So this file is also a program that reads text and writes it
with colours. It imports nothing of cno, so that it runs from any path. Must never know where a text
comes from.
"""

import asyncio
import sys
from typing import Final

#: Seconds for highlighting, of CPU and in total. Beyond, the text is shown without colours.
MAX_CPU: Final = 1
MAX_TIME: Final = 4.0
#: Bytes of the highlighted text.
MAX_SIZE: Final = 4 << 20


async def highlighted(text: str, lexer: str) -> str | None:
    """Return the text with a terminal's colours; None if that takes too long or is impossible."""
    try:
        # -P: do not import modules from the current folder, where downloads may be.
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
            await process.communicate()  # read the rest of the pipe and reap the process


async def talk(process: asyncio.subprocess.Process, data: bytes) -> str | None:
    """Send the text to the process and return its output; None if that is too large."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(data)
    process.stdin.close()  # the process reads all of it before it writes
    found = bytearray()
    while chunk := await process.stdout.read(65_536):
        found += chunk
        if len(found) > MAX_SIZE:
            return None
    return found.decode("utf-8", "replace") if await process.wait() == 0 else None


def main() -> None:
    """Highlight standard input with the lexer that the first argument names."""
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
    # Rendered without the console, whose wrapping takes longer than the highlighting.
    for segment in syntax.highlight(text).render(Console(), end=""):
        piece, style = segment.text, segment.style
        if style is not None:
            piece = style.render(piece, color_system=ColorSystem.STANDARD)
        sys.stdout.buffer.write(piece.encode("utf-8"))


if __name__ == "__main__":
    main()
