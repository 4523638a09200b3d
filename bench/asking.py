"""What is asked of a candidate: addresses, and the bytes of a request in each caller's format."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

ANTHROPIC_PATH = "/v1/messages"
OPENAI_PATH = "/v1/chat/completions"
REQUEST_BYTES = 768
FILLER = "Why do things fail? "


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a candidate is, and the headers it needs to be let in."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One kind of call. ``gap_ms`` and ``chunks`` are for the provider; 0 chunks: without end."""

    is_stream: bool = False
    is_translated: bool = False
    gap_ms: int = 20
    chunks: int = 0


PLAIN = Wish()
TRANSLATED = Wish(is_translated=True)


def path_of(wish: Wish) -> str:
    """Return the path of the caller's format: OpenAI's, or Anthropic's where it is translated."""
    return ANTHROPIC_PATH if wish.is_translated else OPENAI_PATH


def body_of(wish: Wish) -> bytes:
    """Return a body of ``REQUEST_BYTES``."""
    order = f"gap={wish.gap_ms} chunks={wish.chunks} " if wish.is_stream else ""
    document: dict[str, object] = {"model": "bench", "stream": wish.is_stream}
    if wish.is_translated:
        document["max_tokens"] = 256
    message = {"role": "user", "content": order}
    document["messages"] = [message]
    room = REQUEST_BYTES - len(json.dumps(document))
    message["content"] += (FILLER * (room // len(FILLER) + 1))[:room]
    return json.dumps(document).encode()


def headers_of(address: Address, wish: Wish) -> dict[str, str]:
    """Return the headers, but for the length."""
    headers = {"host": "127.0.0.1", "content-type": "application/json", **address.headers}
    if wish.is_translated:
        headers["anthropic-version"] = "2023-06-01"
    return headers


def request_of(address: Address, wish: Wish) -> bytes:
    """Return the whole request."""
    body = body_of(wish)
    headers = {**headers_of(address, wish), "content-length": str(len(body))}
    lines = [f"POST {path_of(wish)} HTTP/1.1", *(f"{name}: {it}" for name, it in headers.items())]
    return "\r\n".join((*lines, "", "")).encode() + body
