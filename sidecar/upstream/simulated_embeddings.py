"""Embeddings of a simulated OpenAI: the same vector for the same text by any model of one name.

The numbers come from a hash of model and text, so that two providers with the same model agree and
a test sees at once whose vectors it holds. Written apart from ``sidecar.wire``, like all of this.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import TYPE_CHECKING

import msgspec

from sidecar.upstream.simulated_answer import (
    Ask,
    AskError,
    ErrorAnswer,
    Reply,
    VectorsAsked,
    estimate_tokens,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

DIMENSIONS = 8


class _Request(msgspec.Struct):
    model: str
    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: str | None = None


_decoder = msgspec.json.Decoder(_Request)


def read(body: bytes) -> Ask:
    """Read a request for embeddings.

    Raises:
        AskError: it cannot be served.
    """
    try:
        request = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"We could not parse the body of your request: {error}"
        raise AskError(ErrorAnswer(status=400, message=message)) from error
    given = request.input
    is_one = isinstance(given, str) or any(isinstance(one, int) for one in given)
    inputs = [given] if is_one else given
    texts = tuple(one if isinstance(one, str) else repr(one) for one in inputs)
    return Ask(
        model=request.model,
        is_stream=False,
        prompt_tokens=estimate_tokens(sum(map(len, texts)), 0, 0),
        last_text="",
        vectors=VectorsAsked(
            texts=texts,
            dimensions=request.dimensions or DIMENSIONS,
            is_packed=request.encoding_format == "base64",
        ),
    )


def vector(model: str, text: str, dimensions: int = DIMENSIONS) -> tuple[float, ...]:
    """Return the vector of ``text``: multiples of 1/256 below 1, exact in 32 bits."""
    digest = hashlib.shake_128(f"{model}\0{text}".encode()).digest(dimensions)
    return tuple(byte / 256 for byte in digest)


def answer(reply: Reply, asked: VectorsAsked) -> bytes:
    """Return the list of embeddings."""
    vectors = [vector(reply.model, text, asked.dimensions) for text in asked.texts]
    data = [
        {"object": "embedding", "index": index, "embedding": _written(numbers, asked)}
        for index, numbers in enumerate(vectors)
    ]
    usage = {"prompt_tokens": reply.prompt_tokens, "total_tokens": reply.prompt_tokens}
    whole = {"object": "list", "data": data, "model": reply.model, "usage": usage}
    return msgspec.json.encode(whole)


def _written(numbers: Sequence[float], asked: VectorsAsked) -> object:
    if asked.is_packed:
        numbers = [float("nan")] * len(numbers) if asked.is_rubbish else numbers
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    return [None] * len(numbers) if asked.is_rubbish else numbers
