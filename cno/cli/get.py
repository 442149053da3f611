"""`cno get`: fetch URLs over as few connections as possible, and print them in the given order.

Knows redirects, retries and the order of output. Must never know how output is formatted, how files
are stored, or how a connection is made.
"""

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Final

from cno.aio.client.connection import Response
from cno.cli import exit_codes
from cno.cli.connecting import Dialer, target_of
from cno.cli.delivery import Delivery, Destination
from cno.cli.exchange import Exchanges, status_of, version_of
from cno.cli.fetch import Fetch, GetOptions, first_fetch, redirected, with_fields
from cno.cli.origins import MAX_HTTP1, Origins
from cno.cli.output import CommandOutput, value_of
from cno.cli.problems import OUTPUT_CLOSED, Problem, reason, report
from cno.cli.rate_limit import RateLimit
from cno.cli.retries import Retries, explained, is_transient
from cno.cli.saved_file import remote_names
from cno.cli.signals import cancelling
from cno.cli.transfer import MAX_PRINTING, MAX_SAVING, Hop, Transfer
from cno.cli.views import Views
from cno.cli.worker import DaemonExecutor

if TYPE_CHECKING:
    from cno.cli.cookies import Jar

#: Bytes of an unwanted body that are read so that the connection can be reused.
MAX_DRAINED: Final = 65_536

_REDIRECTS: Final = (301, 302, 303, 307, 308)


async def run(options: GetOptions, views: Views | None = None) -> int:
    """Fetch all URLs. Return the exit status: that of the first failure, or 0. Raises Problem."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(report)
    loop.set_default_executor(DaemonExecutor())
    task = asyncio.current_task()
    assert task is not None
    with cancelling(task) as signals:
        try:
            return await run_until(options, views or Views())
        except asyncio.CancelledError:
            if not signals:
                raise
            raise Problem("", 128 + signals[0]) from None


async def run_until(options: GetOptions, views: Views) -> int:
    """Fetch all URLs within `max_time`. Raises Problem."""
    fetcher = Fetcher(options, views)
    try:
        async with asyncio.timeout(options.max_time):
            return await fetcher.run()
    except TimeoutError:
        text = f"timed out after {options.max_time or 0:g} s{fetcher.progress()}"
        silent = options.silent and not options.errors
        raise Problem("" if silent else text, exit_codes.TIMED_OUT) from None
    except BaseExceptionGroup as group:
        if group.subgroup(BrokenPipeError) is None:
            raise
        raise Problem("", OUTPUT_CLOSED) from None  # nobody reads the output any more


class Fetcher:
    """The fetches of one command: concurrent requests whose output is printed in order."""

    def __init__(self, options: GetOptions, views: Views) -> None:
        self._options = options
        self._views = views
        urls = list(options.urls)
        self._names = remote_names(urls) if options.remote_name else list(options.outputs)
        saving = bool(self._names)
        self._output = CommandOutput(options.include or options.head, options.verbose, saving)
        self._output.silent = options.silent and not options.errors
        views.begin(self._output)
        dialer = Dialer(options.connect, views.trace)
        prepare(dialer, urls)
        self._origins = Origins(
            dialer,
            self._output.shows_pushes,
            self._output.note,
            MAX_HTTP1 if saving else 1,
        )
        rate = None if options.limit_rate is None else RateLimit(options.limit_rate)
        self._exchanges = Exchanges(self._origins, self._output, rate)
        self._delivery = Delivery(options, self._output)
        self._delivery.keep_content = views.keeps_content
        self._jar = cookie_jar(options)
        most = MAX_SAVING if saving else MAX_PRINTING
        # A response may set cookies for the next request.
        self._slots = asyncio.Semaphore(most if self._jar is None else 1)
        self._may_print = [asyncio.Event() for _ in range(len(urls) + 1)]
        now = asyncio.get_running_loop().time()
        self._transfers = [Transfer(number, url, now) for number, url in enumerate(urls)]

    async def run(self) -> int:
        """Fetch all URLs. Return the exit status."""
        fetches = [first_fetch(self._options, url) for url in self._options.urls]
        self._may_print[0].set()
        with self._output, self._views:
            try:
                status = await self._fetch_all(fetches)
            finally:
                self._views.show(self._transfers)
            await self._views.drain()
            await self._output.drain()
        return status

    async def _fetch_all(self, fetches: list[Fetch]) -> int:
        """Fetch all URLs. Return the exit status."""
        async with self._origins:
            with self._delivery:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._run_one(i, a)) for i, a in enumerate(fetches)]
        if self._jar is not None:
            self._jar.save()
        await self._output.drain()
        return next((status for task in tasks if (status := task.result())), 0)

    def progress(self) -> str:
        """Return how much of the bodies had come, for a timeout."""
        hops = [transfer.last for transfer in self._transfers if transfer.last]
        size = sum(hop.before + hop.size for hop in hops)
        return f": {size:,} bytes came" if size else ""

    async def _run_one(self, number: int, fetch: Fetch) -> int:
        """Fetch a URL and report its errors. Return its exit status."""
        transfer = self._transfers[number]
        loop = asyncio.get_running_loop()
        try:
            async with self._slots:
                transfer.begun = loop.time()
                await self._attempts(transfer, fetch)
        except Problem as problem:
            transfer.error, transfer.status = str(problem), problem.status
            if problem.__cause__ is not None:
                self._views.fault(transfer, problem.__cause__)
        except BrokenPipeError:
            raise
        except (OSError, ValueError, EOFError) as error:
            hop = transfer.last
            status = status_of(error, hop) if hop is not None else 1
            transfer.error, transfer.status = f"{fetch.url}: {reason(error)}", status
            self._views.fault(transfer, error)
        finally:
            transfer.ended = loop.time()
            # Let the next fetch print, once this one could. (Without a slot: others go on.)
            await self._turn(number)
            self._may_print[number + 1].set()
        if transfer.error:
            self._output.problem(transfer.error)
        await self._write_out(transfer)
        return transfer.status

    async def _write_out(self, transfer: Transfer) -> None:
        """Write what -w asks for."""
        if self._options.write_out is None:
            return
        from cno.cli.write_out import write_out

        for to_error, text in write_out(self._options.write_out, transfer):
            self._output.write(text, to_error)
        await self._output.drain()

    async def _turn(self, number: int) -> None:
        """Wait until a fetch may print."""
        await self._may_print[number].wait()

    async def _turn_or_save(self, number: int) -> None:
        """Wait until a fetch may print, unless it writes to a file."""
        if not self._names:
            await self._turn(number)

    # -- attempts and redirects ------------------------------------------------------------------

    async def _attempts(self, transfer: Transfer, fetch: Fetch) -> None:
        """Fetch a URL, again if that may help. Raises Problem, and what a request raises."""
        retries = Retries(self._options)
        name = self._names[transfer.number] if self._names else None
        with self._delivery.to(name, fetch.url) as target:
            while True:
                failure: Exception | None = None
                try:
                    await self._follow(transfer, fetch, target)
                except (Problem, OSError, ValueError, EOFError) as error:
                    failure = error
                hop = transfer.last
                again = fetch.content.again and target.can_restart
                was_cut = any(hop.size and hop.code < 300 for hop in transfer.hops)
                pause = retries.pause(hop, failure, was_cut) if again else None
                if pause is None:
                    if failure is not None:
                        raise explained(self._options, failure, target.kept())
                    return
                self._retrying(fetch, hop, failure, pause)
                await asyncio.sleep(pause)
                transfer.retries += 1

    def _retrying(
        self, fetch: Fetch, hop: Hop | None, failure: Exception | None, pause: float
    ) -> None:
        """Say that there is another attempt, and why."""
        if self._options.silent:
            self._output.note(f"retrying in {pause:g} s")
            return
        status = f"{fetch.url}: status {hop.code if hop else 0}"
        why = status if failure is None else reason(failure)
        self._output.problem(f"{why}; retrying in {pause:g} s")

    async def _follow(self, transfer: Transfer, fetch: Fetch, target: Destination) -> None:
        """Fetch a URL and follow its redirects."""
        redirects, separate = 0, False
        while (following := await self._exchange(transfer, fetch, target, separate)) is not None:
            if following is fetch:
                continue  # for the whole file: what there was of it cannot be continued
            redirects += 1
            fetch = following
            # Responses that wait to be printed may fill the connection's window. This fetch goes
            # first, so it must not wait for them: it uses another connection.
            separate = not self._names
            if redirects > self._options.max_redirects:
                text = f"{fetch.url}: more than {self._options.max_redirects} redirects"
                raise Problem(text, exit_codes.REDIRECTS)

    async def _exchange(
        self, transfer: Transfer, fetch: Fetch, target: Destination, separate: bool
    ) -> Fetch | None:
        """Send one request and handle its response. Return the request that follows it."""
        sent = with_fields(fetch, target.fields())
        if self._jar is not None:
            sent = with_fields(sent, self._jar.fields(fetch.url))
        hop = Hop(sent, asyncio.get_running_loop().time())
        transfer.hops.append(hop)
        turn = partial(self._turn_or_save, transfer.number)
        try:
            async with self._exchanges.open(sent, hop, turn, separate) as response:
                if not (response.conn.is_http2 and self._output.shows_pushes):
                    return await self._receive(transfer, fetch, hop, response, target)
                from cno.cli.pushes import watching

                async with watching(response, self._output):
                    return await self._receive(transfer, fetch, hop, response, target)
        finally:
            hop.ended = asyncio.get_running_loop().time()

    async def _receive(
        self,
        transfer: Transfer,
        fetch: Fetch,
        hop: Hop,
        response: Response,
        target: Destination,
    ) -> Fetch | None:
        """Print or save a response. Return the request that follows it."""
        options = self._options
        hop.answered = asyncio.get_running_loop().time()
        hop.code, hop.reason, hop.headers = response.code, response.reason, response.headers
        if self._jar is not None:
            self._jar.store(fetch.url, response.headers)
        await self._turn_or_save(transfer.number)
        version = version_of(response.conn.is_http2)
        for code, headers in response.informational:
            self._output.response_head(version, code, "", headers)
        self._output.response_head(version, response.code, response.reason, response.headers)
        await self._output.drain()
        location = value_of(response.headers, "location")
        if options.follow and location and response.code in _REDIRECTS:
            await drain(response, hop)
            return redirected(fetch, response.code, location)
        # The answer to a range of a file that is complete.
        is_end = response.code == 416 and bool(target.fields())
        failed = bool(options.fail) and response.code >= 400 and not is_end
        goes_again = target.can_restart and transfer.hops[0].fetch.content.again
        retries_left = transfer.retries < options.retries and goes_again
        transient = is_transient(response.code) and retries_left
        if (failed and options.fail == "fail") or transient:
            await drain(response, hop)
            if failed:
                raise Problem(f"{fetch.url}: status {response.code}", exit_codes.STATUS)
            return None
        if fetch.method == "HEAD":
            await drain(response, hop)
            return None
        again = await target.deliver(transfer, hop, response)
        if failed:
            raise Problem(f"{fetch.url}: status {response.code}", exit_codes.STATUS)
        return fetch if again else None


def prepare(dialer: Dialer, urls: list[str]) -> None:
    """Make the TLS context before the clock of the requests begins."""
    with contextlib.suppress(Problem):  # which its request reports
        for url in urls:
            dialer.prepare(target_of(url))


def cookie_jar(options: GetOptions) -> "Jar | None":
    """Return the jar of -b FILE and -c FILE."""
    files = tuple(text for text in options.cookies if "=" not in text)
    if not files and options.cookie_jar is None:
        return None
    from cno.cli.cookies import Jar  # slow to import

    return Jar(files, options.cookie_jar)


async def drain(response: Response, hop: Hop) -> None:
    """Read an unwanted body if it is short. Leaving the response cancels a longer one."""
    left = MAX_DRAINED
    while left > 0 and (chunk := await response.payload.read(left)):
        left -= len(chunk)
        hop.size += len(chunk)
