"""Puts bodies of `cno get` to standard output, or into files that the user or a server named.

Knows names of files, and the options for them. Must never know how a request is sent.
"""

import os
from functools import partial
from io import FileIO
from types import TracebackType
from typing import Final

from cno.aio.client.connection import Response
from cno.cli import exit_codes
from cno.cli.allocator import LARGE, keep_freed
from cno.cli.body_reader import BodyReader, total_of
from cno.cli.continued import ChangedError, Continued
from cno.cli.download import Download, http_time, is_whole
from cno.cli.fetch import GetOptions, Headers
from cno.cli.output import CommandOutput, value_of
from cno.cli.problems import Problem
from cno.cli.progress import Bar, Bars
from cno.cli.rate_limit import RateLimit
from cno.cli.saved_file import SavedFile, cannot_write, is_special, safe_name
from cno.cli.transfer import Hop, Transfer
from cno.cli.worker import Worker
from cno.errors import ConnectionError

#: The offset of `-C -`: where the file ends.
AUTOMATIC: Final = -1
#: Why a file is fetched from its start.
UNKNOWN: Final = "the server has another file by now, or cannot continue it: fetched from its start"


class Delivery:
    """The destinations of one command."""

    def __init__(self, options: GetOptions, output: CommandOutput) -> None:
        self.options = options
        self.output = output
        self.bars = Bars(options.silent)
        self.rate = None if options.limit_rate is None else RateLimit(options.limit_rate)
        #: Whether bodies are kept in memory, too: for a HAR file.
        self.keep_content = False

    def __enter__(self) -> "Delivery":
        path = self.options.dump_heads
        if path is not None:
            try:
                self.output.heads = FileIO(path, "w")
            except OSError as error:
                raise cannot_write(path, error) from None
        self.bars.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.bars.__exit__(kind, error, traceback)
        if self.output.heads is not None:
            self.output.heads.close()
            self.output.heads = None

    def to(self, name: str | None, url: str) -> "Destination":
        """Return the destination of a body; `name`: of the file."""
        if name is None:
            return Destination(self)
        if self.options.folder is not None:
            name = os.path.join(self.options.folder, name)
        return FileDestination(self, name, url)


class Destination:
    """Standard output. `can_restart`: nothing was written that a second attempt would repeat."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self.can_restart = True

    def __enter__(self) -> "Destination":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def fields(self) -> Headers:
        """Return the fields that the request needs for this destination."""
        return []

    def kept(self) -> str:
        """Return what becomes of an incomplete file, for the line of a failure."""
        return ""

    def reader(self, hop: Hop, response: Response) -> BodyReader:
        delivery = self._delivery
        compressed = delivery.options.compressed
        return BodyReader(response, hop, delivery.rate, compressed, delivery.keep_content)

    async def deliver(self, transfer: Transfer, hop: Hop, response: Response) -> bool:
        """Write a body. Return whether to send the request again. Raises Problem, OSError."""
        output = self._delivery.output
        reader = self.reader(hop, response)
        self.can_restart = False
        headers = response.headers
        shown = await output.body(headers, reader)
        self.trailers(response)
        if not shown:
            transfer.status = exit_codes.NOT_WRITTEN
        return False

    def trailers(self, response: Response) -> None:
        for name, value in response.trailers or ():
            self._delivery.output.note(f"trailer {name}: {value}", "<")


class FileDestination(Destination):
    """A file. A further attempt continues it."""

    def __init__(self, delivery: Delivery, path: str, url: str) -> None:
        super().__init__(delivery)
        self._options = delivery.options
        self._url = url
        self._path = path
        self._has_come = False  # a part of the file
        self._bar: Bar | None = None
        self._is_named = not self._options.server_name  # the name waits for no response
        self._download = self._made(path) if self._is_named else None
        self.can_restart = self._download is None or not self._download.file.is_special

    def _made(self, path: str) -> Download | Continued:
        resume = self._options.resume
        if resume is not None and resume > 0:
            return Continued(path, self._url, resume)
        if resume == AUTOMATIC and is_whole(path) and not is_special(path):
            return Continued(path, self._url)
        return self._anew(path)

    def _anew(self, path: str) -> Download:
        """Return the file, to be written under another name until it is complete."""
        options = self._options
        is_part = options.resume == AUTOMATIC
        return Download(path, self._url, is_remote=options.remote_name, is_part=is_part)

    def __exit__(self, *_: object) -> None:
        if self._download is not None:
            self._download.__exit__()

    def fields(self) -> Headers:
        return [] if self._download is None else self._download.fields()

    async def deliver(self, transfer: Transfer, hop: Hop, response: Response) -> bool:
        path = self._path
        if self._download is None:
            path = self._path = self._chosen(response)
            self._download = self._made(path)
        download = self._download
        transfer.filename = path
        total = total_of(response)
        if self._bar is None:
            self._bar = self._delivery.bars.add(os.path.basename(path), total)
        bar = self._bar
        if total is not None and total >= LARGE:
            keep_freed()
        reader = self.reader(hop, response)
        try:
            if self._options.make_folders and os.path.dirname(path):
                os.makedirs(os.path.dirname(path), exist_ok=True)
            if download.file.is_special:
                await self._write_directly(download, response, reader, bar)
                return False
            compares = isinstance(download, Continued) and download.compares
            if compares and response.code == 200:
                download = self._restart(path)  # the whole comes anyway
            if download.begin(response.code, response.headers, reader.is_decoded):
                hop.before = download.before
                bar.continues(download.before, total)
                while chunk := await reader.read():
                    download.write(chunk)
                    self._has_come = True
                    bar.advance(len(chunk))
                self.trailers(response)
                download.done(self._modified(response))
        except ChangedError:
            self._restart(path)
            return True
        except (ConnectionError, BrokenPipeError):
            raise  # the server's, or of a pipe that nobody reads
        except OSError as error:
            raise cannot_write(path, error) from None
        self._delivery.output.note(f"saved {path}")
        return False

    def kept(self) -> str:
        download = self._download
        if download is None or not self._has_come:
            return ""
        if download.kept:
            return f" (in {download.kept}; -C - continues)"
        return " (what came is not kept: with -C - it is, and a further command continues it)"

    def _restart(self, path: str) -> Download:
        """Give up a file that cannot be continued: fetch it from its start. It stays until then."""
        if self._download is not None:
            self._download.__exit__()
        self._delivery.output.problem(f"{path}: {UNKNOWN}")
        download = self._download = self._anew(path)
        return download

    def _modified(self, response: Response) -> float | None:
        """Return the time for the file (-R)."""
        value = value_of(response.headers, "last-modified") or ""
        return http_time(value) if self._options.keep_time else None

    def _chosen(self, response: Response) -> str:
        """Return the path with the name that the server chose (-J). Raises Problem."""
        from cno.cli.disposition import filename_of

        value = value_of(response.headers, "content-disposition") or ""
        name = safe_name(filename_of(value))
        if not name:
            return self._path
        path = os.path.join(self._options.folder or "", name)
        if os.path.lexists(path):
            text = f"cannot write {path}: there is one, and -J replaces none"
            raise Problem(text, exit_codes.NOT_WRITTEN)
        return path

    async def _write_directly(
        self, download: Download | Continued, response: Response, reader: BodyReader, bar: Bar
    ) -> None:
        """Write to a device, a pipe or a descriptor. With `-C OFFSET`: nothing but the rest."""
        rest = download if isinstance(download, Continued) else None
        headers = response.headers
        if rest is not None and not rest.has_rest(response.code, headers, reader.is_decoded):
            return
        if download.file.is_null:
            await self._write_null(download.file, reader, bar)
        else:
            await self._write_special(download.file, reader, bar)
        if rest is not None:
            rest.require_rest(download.file.size)

    async def _write_null(self, null: SavedFile, reader: BodyReader, bar: Bar) -> None:
        """Write to the null device, as measurements do, without the thread that others need."""
        self.can_restart = False
        with null as file:
            while chunk := await reader.read():
                file.write(chunk)
                bar.advance(len(chunk))
            file.done()

    async def _write_special(self, file: SavedFile, reader: BodyReader, bar: Bar) -> None:
        """Write to a pipe or a device from a thread, since that may block for ever."""
        self.can_restart = False
        worker = Worker(f"cno-save {file.path}")
        try:
            await worker.run(file.__enter__)
            if file.is_terminal:
                text = f"{file.path} is a terminal: leave out -o"
                raise Problem(text, exit_codes.NOT_WRITTEN)
            while chunk := await reader.read():
                await worker.run(partial(file.write, chunk))
                bar.advance(len(chunk))
            await worker.run(file.done)
        finally:
            worker.submit(partial(file.__exit__, None, None, None))
            worker.close()
