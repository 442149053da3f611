"""A handler that is an object."""

import cno


class App:
    async def __call__(self, request: cno.Request) -> None:
        await request.respond(404)

    async def about(self, request: cno.Request) -> None:
        await request.respond(200)


def handlers(app: App) -> list[cno.Handler]:
    return [app, app.about]
