"""The codec of OpenAI embeddings: ``POST /embeddings``.

    {"model": "m", "input": ["a", "b"], "dimensions": 256, "encoding_format": "base64"}
    {"object": "list", "model": "m", "usage": {"prompt_tokens": 2, "total_tokens": 2},
     "data": [{"object": "embedding", "index": 0, "embedding": "AACAPw…"}, …]}

``input`` is text, texts, or tokens of the model's own vocabulary, which no other format can carry.
The official SDKs ask for base64 and decode it without looking, so a caller gets the encoding that
it asked for even where a provider answers in the other one. Encodings beyond these two
(``base64_int8`` of some providers, asked for or not) are passed on in the same format and never
interpreted.
"""

from __future__ import annotations

import math

import msgspec

from sidecar.domain import RequestFacts, Usage, WireFormat
from sidecar.errors import WireError
from sidecar.wire import openai_response
from sidecar.wire.decode import check_utf8, decode
from sidecar.wire.neutral import Completion, Finish, Rendered
from sidecar.wire.splice import read_members, replace_string_member
from sidecar.wire.vectors import (
    Embedding,
    Vector,
    check_texts,
    numbers_of,
    pack,
    read_numbers,
    unpack,
    without_nan,
)

FLOAT, BASE64 = "float", "base64"
_BYTES_PER_TOKEN = 3.6


class _Request(msgspec.Struct):
    model: str
    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: str | None = None


class _Encoding(msgspec.Struct):
    encoding_format: str | None = None


class _Item(msgspec.Struct):
    embedding: str | list[float | None]
    index: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Item]
    model: str | None = None
    id: str | None = None
    usage: _Usage | None = None


_REQUEST = msgspec.json.Decoder(_Request)
_ENCODING = msgspec.json.Decoder(_Encoding)
_ANSWER = msgspec.json.Decoder(_Answer)
_HELD = frozenset(_Request.__struct_fields__)


class OpenAIEmbeddingsCodec:
    """Stateless; see ``EmbeddingCodec`` for every method."""

    format = WireFormat.OPENAI_EMBEDDINGS

    def path_for(self, model: str, body: bytes) -> str:  # noqa: ARG002 - both are in the body
        """Return the one path there is."""
        return "/embeddings"

    def inspect_request(self, body: bytes) -> RequestFacts:
        """Return the facts of a request; a token of a token array is a token."""
        request = _read(body)
        texts, token_counts = _inputs(request)
        is_readable = request.encoding_format in (None, FLOAT, BASE64)
        untranslatable = {"input": bool(token_counts), "encoding_format": not is_readable}
        text_bytes = sum(len(text.encode()) for text in texts)
        return RequestFacts(
            model=request.model,
            is_stream=False,
            prompt_tokens=math.ceil(text_bytes / _BYTES_PER_TOKEN) + sum(token_counts),
            max_tokens=0,
            inputs_count=len(texts) + len(token_counts),
            untranslatable=tuple(name for name, is_used in untranslatable.items() if is_used),
        )

    def parse_request(self, body: bytes) -> Embedding:
        """Return the whole request in neutral form, which has no place for tokens."""
        request = _read(body)
        texts, _ = _inputs(request)
        asked = read_members(body)
        dropped = (name for name in asked if name not in _HELD and asked[name] != b"null")
        return Embedding(
            texts=texts,
            dimensions=request.dimensions,
            is_packed=request.encoding_format == BASE64,
            dropped=tuple(dropped),
        )

    def render_request(self, embedding: Embedding, *, model: str) -> Rendered:
        """Write a request; always for plain numbers, which every server of this format knows.

        Raises:
            WireError: there are no texts.
        """
        check_texts(embedding)
        request: dict[str, object] = {
            "model": model,
            "input": embedding.texts,
            "encoding_format": FLOAT,
        }
        if embedding.dimensions is not None:
            request["dimensions"] = embedding.dimensions
        return Rendered(body=msgspec.json.encode(request), dropped=embedding.dropped)

    def rewrite_request(self, body: bytes, *, model: str) -> bytes:
        """Return ``body`` with the model renamed, its other bytes as they were."""
        return replace_string_member(body, "model", model)

    def parse_response(self, body: bytes, *, request: bytes) -> Completion:
        """Return the vectors in the order of the inputs.

        Text is base64 of floats only where ``request`` asked for that.
        """
        check_utf8(body)
        answer = decode(_ANSWER, _as_json(body))
        is_packed = decode(_ENCODING, request).encoding_format == BASE64
        items = answer.data
        if sorted(item.index or 0 for item in items) == list(range(len(items))):
            items = sorted(items, key=lambda item: item.index or 0)
        return Completion(
            id=answer.id or "",
            model=answer.model or "",
            parts=(),
            vectors=tuple(_vector(item, is_packed=is_packed) for item in items),
            finish=Finish.STOP,
            usage=_usage(answer.usage),
        )

    def render_response(self, completion: Completion, embedding: Embedding) -> bytes:
        """Write an answer in the encoding that ``embedding`` asks for."""
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": pack(numbers) if embedding.is_packed else numbers,
            }
            for index, numbers in enumerate(numbers_of(completion))
        ]
        tokens = 0 if completion.usage is None else completion.usage.input_tokens
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        answer = {"object": "list", "data": data, "model": completion.model, "usage": usage}
        return msgspec.json.encode(answer)

    def error_text(self, body: bytes) -> str | None:
        """See ``openai_response``."""
        return openai_response.error_text(body)

    def render_error(
        self, *, status: int, code: str, message: str, details: dict[str, object]
    ) -> bytes:
        """See ``openai_response``."""
        return openai_response.render_error(
            status=status, code=code, message=message, details=details
        )


def _read(body: bytes) -> _Request:
    check_utf8(body)
    request = decode(_REQUEST, body)
    if not request.model:
        raise WireError("model is empty", "$.model")
    return request


def _inputs(request: _Request) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the texts, or how many tokens each input has: never both.

    Raises:
        WireError: there is nothing, or texts and tokens are mixed.
    """
    given = request.input
    if isinstance(given, str):
        return (given,), ()
    if not given:
        raise WireError("input is empty", "$.input")
    texts = tuple(one for one in given if isinstance(one, str))
    arrays = [one for one in given if isinstance(one, list)]
    if len(texts) == len(given):
        return texts, ()
    if len(arrays) == len(given):
        return (), tuple(len(one) for one in arrays)
    if texts or arrays:
        raise WireError("expected texts or tokens, got both", "$.input")
    return (), (len(given),)


def _as_json(body: bytes) -> bytes:
    """Return ``body`` as JSON, where a server wrote ``NaN``."""
    return body if b"NaN" not in body and b"Infinity" not in body else without_nan(body)


def _vector(item: _Item, *, is_packed: bool) -> Vector:
    given = item.embedding
    if isinstance(given, str):
        return Vector(numbers=unpack(given) if is_packed else None, is_packed=True)
    return Vector(numbers=read_numbers(given))


def _usage(usage: _Usage | None) -> Usage | None:
    if usage is None:
        return None
    tokens = usage.prompt_tokens if usage.prompt_tokens is not None else usage.total_tokens
    return None if tokens is None else Usage(input_tokens=tokens)
