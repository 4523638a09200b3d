"""The demo callers' HTTP: post one body on a connection of its own, read the whole answer."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import httptools

PIECE_BYTES = 64 * 1024


class Reply:
    """One answer, put together by the parser; ``headers`` by lower-case name."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.is_whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, part: bytes) -> None:
        """Take a piece of the body."""
        self.body += part

    def on_message_complete(self) -> None:
        """Note the end."""
        self.is_whole = True


async def post(url: str, body: bytes) -> Reply:
    """Return the answer to ``body``, a JSON text.

    Raises:
        OSError: there was none, or it broke off or was no HTTP.
    """
    target = urlsplit(url)
    reader, writer = await asyncio.open_connection(target.hostname, target.port)
    reply = Reply()
    parser = httptools.HttpResponseParser(reply)
    try:
        head = f"POST {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        while not reply.is_whole:
            data = await reader.read(PIECE_BYTES)
            if not data:
                raise ConnectionResetError("the answer broke off")
            parser.feed_data(data)
    except httptools.HttpParserError as error:
        raise ConnectionError("the answer is no HTTP") from error
    finally:
        writer.transport.abort()
    reply.status = parser.get_status_code()
    return reply
