"""Headers: any iterable of pairs."""

import cno


async def send(client: cno.Client, fields: dict[str, str]) -> None:
    await client.request("GET", "/", [("accept", "*/*")])
    await client.request("GET", "/", (("accept", "*/*"),))
    await client.request("GET", "/", fields.items())
    await client.request("GET", "/", ((name, "1") for name in fields))
    await client.request("POST", "/", data=b"1", trailers=[("checksum", "1")])
