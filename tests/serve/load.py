"""Clients that ask a server all the time, and note what fails: strict, without a second attempt.

A connection that the server has closed between two requests is made again (RFC 9112 9.3.1): only a
request that had no response, or half of one, on a connection that said nothing is lost. When the
last process ends, the system also resets connections that no process has accepted yet: a connection
without any response does not count then.
"""

import asyncio
from typing import Final

import cno

#: Seconds for one request.
PATIENCE: Final = 20.0


class Load:
    """`clients` connections, with `depth` requests at a time on each (1 in HTTP/1.1)."""

    def __init__(self, url: str, *, http2: bool, clients: int = 4, depth: int = 5) -> None:
        self.url = url
        self.http2 = http2
        self.clients = clients
        self.depth = depth if http2 else 1
        self.answered = 0
        self.lost: list[str] = []
        self._answer = asyncio.Event()
        self._stop = False
        self._until_refused = False

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.create_task(self._run()) for _ in range(self.clients)]
        return self

    def finish(self) -> None:
        """Ask on until there is no server."""
        self._until_refused = True

    async def __aexit__(self, *_: object) -> None:
        self._stop = not self._until_refused
        await asyncio.gather(*self._tasks)

    async def wait(self, more: int) -> None:
        """Wait until there have been so many more responses."""
        wanted = self.answered + more
        async with asyncio.timeout(PATIENCE):
            while self.answered < wanted:
                self._answer.clear()
                await self._answer.wait()

    def _is_over(self) -> bool:
        return self._stop or self._until_refused

    async def _run(self) -> None:
        while not self._stop:
            try:
                client = await cno.connect(None, self.url, force_http2=self.http2)
            except OSError:
                if self._is_over():
                    return
                await asyncio.sleep(0.01)
                continue
            async with client:
                await asyncio.gather(*(self._ask(client) for _ in range(self.depth)))

    async def _ask(self, client: cno.Client) -> None:
        accepted = False
        while not self._stop:
            try:
                async with asyncio.timeout(PATIENCE):
                    response = await client.request("GET", "/")
                    data = b"".join([part async for part in response.payload])
            except cno.ConnectionError as error:
                unknown = self._until_refused and not accepted
                if not getattr(error, "retryable", False) and not unknown:
                    self.lost.append(repr(error))
                return
            except OSError as error:
                self.lost.append(repr(error))
                return
            if response.code != 200 or not data.startswith(b"{"):
                self.lost.append(f"{response.code} {data!r}")
            accepted = True
            self.answered += 1
            self._answer.set()
