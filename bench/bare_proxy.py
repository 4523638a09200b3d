"""The peer: a bare proxy on aiohttp and uvloop, with none of the sidecar's functions.

What is left of the sidecar's cost when every feature is taken away and the same libraries stay.
Arguments: its port, the provider's.
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web


async def main() -> None:
    """Proxy until killed."""
    port, provider = int(sys.argv[1]), int(sys.argv[2])
    upstream = f"http://127.0.0.1:{provider}"
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            body = await request.read()
            headers = {"content-type": "application/json"}
            async with session.post(upstream + request.path, data=body, headers=headers) as answer:
                kind = answer.headers["content-type"]
                if kind == "application/json":
                    return web.Response(body=await answer.read(), content_type=kind)
                response = web.StreamResponse(headers={"content-type": kind})
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response

        server = web.Server(handle, access_log=None)
        loop = asyncio.get_running_loop()
        await loop.create_server(server, "127.0.0.1", port, backlog=4096)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
