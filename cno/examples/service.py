"""A service with routes, JSON, uploads and server-sent events, which ends gracefully.

Run it by `python -m cno.examples.service 127.0.0.1 8092 /tmp`.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path

import cno


class Service:
    def __init__(self, folder: Path, limit: int = 100_000_000) -> None:
        self.folder, self.limit, self.notes = folder, limit, list[object]()
        self.changed, self.stopping = asyncio.Event(), False

    async def __call__(self, request: cno.Request) -> None:
        try:
            match request.method, request.path.partition("?")[0].split("/")[1:]:
                case "GET", ["notes"]:
                    await send(request, 200, self.notes)
                case "POST", ["notes"]:
                    self.notes.append(await request.json(limit=10_000))
                    self.notify()
                    await send(request, 201, {"number": len(self.notes)})
                case "PUT", ["files", name] if name.replace(".", "").isalnum():
                    await self.upload(request, self.folder / name)
                case "GET", ["events"]:
                    await self.events(request)
                case _:
                    await send(request, 404, {"error": "no such thing"})
        except ValueError as error:  # of the body
            code = 413 if isinstance(error, cno.BodyTooLargeError) else 400
            await send(request, code, {"error": str(error)})

    async def upload(self, request: cno.Request, path: Path) -> None:
        with path.open("wb") as file:
            while data := await request.payload.read(65_536):
                await asyncio.to_thread(file.write, data)  # a slow disk slows the client down
                if file.tell() > self.limit:
                    raise cno.BodyTooLargeError(self.limit)
            await send(request, 201, {"size": file.tell()})

    async def events(self, request: cno.Request) -> None:
        sent = len(self.notes)
        async with request.start(200, [("content-type", "text/event-stream")]) as out:
            while not self.stopping:  # if the client goes, this task is cancelled
                changed = self.changed
                for note in self.notes[sent:]:
                    await out.write(f"data: {json.dumps(note)}\n\n".encode())
                    sent += 1
                await changed.wait()

    def notify(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


async def send(request: cno.Request, code: int, value: object) -> None:
    body = json.dumps(value).encode()
    await request.respond(code, [("content-type", "application/json")], body)


async def main(host: str, port: int, folder: str) -> None:
    service, stop = Service(Path(folder)), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with cno.serve(service, host, port) as server:
        print(f"http://{host}:{server.sockets[0].getsockname()[1]}/", flush=True)
        await stop.wait()
        service.stopping = True  # ends the event streams; the block waits for other requests
        service.notify()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
