"""What `cno get` shows of its connections beside the responses: traces, waterfalls, HAR files.

Knows which view wants which records. Must never know how a request is sent.
"""

import asyncio
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Final

from cno.cli.output import CommandOutput
from cno.cli.problems import reason
from cno.cli.text import Paint
from cno.cli.transfer import Transfer
from cno.cli.values import Values

if TYPE_CHECKING:
    from cno.cli.trace_file import TraceFile
    from cno.trace import Record, Trace

#: Frames of one stream that a HAR file has.
MAX_FRAMES: Final = 5_000
#: The value of --waterfall without a file: the terminal.
TERMINAL: Final = ""


class ViewOptions(Values):
    """Which views are wanted. `frames`: lines on standard error (-v)."""

    frames: bool = False
    trace: str | None = None
    waterfall: str | None = None
    har: str | None = None
    explain: bool = False

    @property
    def needs_trace(self) -> bool:
        """Whether any is wanted."""
        files = (self.trace, self.waterfall, self.har)
        return self.frames or self.explain or any(each is not None for each in files)


class Views:
    """The views of one command."""

    def __init__(self, options: ViewOptions | None = None) -> None:
        self.options = options or ViewOptions()
        self.trace: Trace | None = None
        self._output: CommandOutput | None = None
        self._file: TraceFile | None = None
        self._frames: dict[tuple[int, int], list[Record]] = {}

    @property
    def keeps_content(self) -> bool:
        """Whether bodies are to be kept in memory."""
        return self.options.har is not None

    def begin(self, output: CommandOutput) -> None:
        """Prepare, before the first connection. Raises Problem."""
        options = self.options
        self._output = output
        if not options.needs_trace:
            return
        from cno.cli.trace_file import TraceFile
        from cno.trace import Trace, as_json

        loop = asyncio.get_running_loop()
        self._as_json = as_json
        self.trace = Trace(self._add, clock=loop.time, on_error=self._failed)
        output.traced = options.frames
        from cno.cli.explain import Explainer
        from cno.cli.frame_lines import FrameLines
        from cno.cli.timeline import Timeline

        paint = Paint(sys.stderr)
        self._lines = FrameLines(paint)
        self._timeline = Timeline()
        self._explainer = Explainer(paint)
        if options.trace is not None:
            self._file = TraceFile(options.trace, self._failed)

    def _add(self, record: "Record") -> None:
        """Pass a record to the views that want it."""
        options, output = self.options, self._output
        if options.frames and output is not None and record.protocol == "HTTP/2":
            for line in self._lines.lines(record):
                output.trace(line)
        if self._file is not None:
            self._file.add(self._as_json(record))
        if options.waterfall is not None:
            self._timeline.add(record)
        if options.explain:
            self._explainer.add(record)
        if options.har is not None and record.stream:
            kept = self._frames.setdefault((record.connection, record.stream), [])
            if len(kept) < MAX_FRAMES:
                kept.append(record)

    def _failed(self, error: Exception) -> None:
        if self._output is not None:
            self._output.problem(f"the trace of a connection has ended: {reason(error)}")

    def fault(self, transfer: Transfer, error: BaseException) -> None:
        """A request has failed: explain it."""
        hop = transfer.last
        if self.options.explain and self._output is not None and hop is not None:
            for line in self._explainer.explained(error, hop.number, hop.stream):
                self._output.line(line)

    def show(self, transfers: list[Transfer]) -> None:
        """Show what is shown at the end. Raises Problem."""
        options, output = self.options, self._output
        if output is None or self.trace is None:
            return
        if options.frames:
            for line in self._lines.rest():
                output.trace(line)
        if options.waterfall is not None:
            self._show_waterfall(transfers, options.waterfall, output)
        if options.explain:
            for line in self._explainer.accepted():
                output.line(line)
        if options.har is not None:
            from cno.cli.har import archive
            from cno.cli.trace_file import save

            save(options.har, archive(transfers, self._frames))

    async def drain(self) -> None:
        """Wait until the trace is written."""
        if self._file is not None:
            await self._file.drain()

    def _show_waterfall(self, transfers: list[Transfer], path: str, output: CommandOutput) -> None:
        assert self.trace is not None
        rows = self._timeline.rows(transfers, self.trace.began)
        if path != TERMINAL:
            from cno.cli.trace_file import save
            from cno.cli.waterfall_svg import svg

            save(path, svg(rows))
            return
        import shutil  # slow to import

        from cno.cli.slowest import slowest
        from cno.cli.waterfall import waterfall

        width = shutil.get_terminal_size((120, 24)).columns
        ascii_only = not can_draw(sys.stderr.encoding)
        for line in [*waterfall(rows, Paint(sys.stderr), width, ascii_only), *slowest(rows)]:
            output.line(line)

    def __enter__(self) -> "Views":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def can_draw(encoding: str | None) -> bool:
    """Return whether an encoding has the characters of bars."""
    try:
        "·─▲░▒█".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
