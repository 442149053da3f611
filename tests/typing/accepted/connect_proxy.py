"""Proxies."""

import cno


async def main(url: str) -> None:
    async with cno.connect(url, proxy="http://proxy.test:3128", proxy_tunnel=True) as client:
        print(client.is_http2)
    async with cno.Pool(proxy="env") as pool, pool.request("GET", url):
        pass
