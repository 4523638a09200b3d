"""The codec of Gemini's embeddings: ``:embedContent`` and ``:batchEmbedContents``.

    {"content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY",
     "outputDimensionality": 256}
    {"embedding": {"values": [0.1, …]}}

    {"requests": [{"model": "models/m", "content": {"parts": [{"text": "a"}]}, …}, …]}
    {"embeddings": [{"values": [0.1, …]}, …]}

The path names the model, and so does each request of a batch. Which of the two methods a body is
for shows in the body. What is asked of another format's provider goes as a batch, as Google's own
SDK does. Reference: Google's description of ``models.embedContent``, and recorded traffic.
"""

from __future__ import annotations

import math
from urllib.parse import quote

import msgspec

from sidecar.domain import RequestFacts, Usage, WireFormat
from sidecar.errors import WireError
from sidecar.wire.decode import check_utf8, decode
from sidecar.wire.neutral import Completion, Finish, Rendered
from sidecar.wire.openai_response import error_text as envelope_text
from sidecar.wire.splice import read_members, replace_members, replace_string_member
from sidecar.wire.vectors import (
    Embedding,
    Vector,
    check_texts,
    numbers_of,
    read_numbers,
    without_nan,
)

_BYTES_PER_TOKEN = 3.6
_TOKENS_PER_PART = 800
"""A flat price for what is not text: an image, a page, a few seconds of sound."""
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    422: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class _Part(msgspec.Struct):
    text: str | None = None


class _Content(msgspec.Struct):
    parts: list[_Part]


class _One(msgspec.Struct, rename="camel"):
    content: _Content
    output_dimensionality: int | None = None


class _Request(msgspec.Struct):
    content: _Content | None = None
    requests: list[_One] | None = None


class _Values(msgspec.Struct):
    values: list[float | None]


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None


class _Answer(msgspec.Struct, rename="camel"):
    embedding: _Values | None = None
    embeddings: list[_Values] | None = None
    usage_metadata: _Usage | None = None


_REQUEST = msgspec.json.Decoder(_Request)
_ONE = msgspec.json.Decoder(_One)
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_ANSWER = msgspec.json.Decoder(_Answer)
_HELD = frozenset({"model", "content", "outputDimensionality"})


class GeminiEmbeddingsCodec:
    """Stateless; see ``EmbeddingCodec`` for every method."""

    format = WireFormat.GEMINI_EMBEDDINGS

    def path_for(self, model: str, body: bytes) -> str:
        """Return the path of the method that ``body`` is for."""
        method = "batchEmbedContents" if "requests" in read_members(body) else "embedContent"
        return f"/models/{quote(model, safe='')}:{method}"

    def inspect_request(self, body: bytes) -> RequestFacts:
        """Return the facts of a request; its model is in the path."""
        ones, _ = _read(body)
        parts = [part for one in ones for part in one.content.parts]
        texts = [part.text for part in parts if part.text is not None]
        untranslatable = {
            "content.parts": len(texts) < len(parts) or len(parts) != len(ones),
            "outputDimensionality": len({one.output_dimensionality for one in ones}) > 1,
        }
        text_bytes = sum(len(text.encode()) for text in texts)
        return RequestFacts(
            model="",
            is_stream=False,
            prompt_tokens=math.ceil(text_bytes / _BYTES_PER_TOKEN)
            + _TOKENS_PER_PART * (len(parts) - len(texts)),
            max_tokens=0,
            inputs_count=len(ones),
            untranslatable=tuple(name for name, is_used in untranslatable.items() if is_used),
        )

    def parse_request(self, body: bytes) -> Embedding:
        """Return the whole request in neutral form."""
        ones, is_single = _read(body)
        texts = tuple(one.content.parts[0].text or "" for one in ones if one.content.parts)
        if len(texts) < len(ones):
            raise WireError("a content has no parts", "$.requests")
        raws = [body] if is_single else _requests(body)
        asked = (name for raw in raws for name in read_members(raw))
        return Embedding(
            texts=texts,
            dimensions=ones[0].output_dimensionality,
            is_single=is_single,
            dropped=tuple(dict.fromkeys(name for name in asked if name not in _HELD)),
        )

    def render_request(self, embedding: Embedding, *, model: str) -> Rendered:
        """Write a batch; raises where there are no texts."""
        check_texts(embedding)
        wanted = embedding.dimensions
        size = {} if wanted is None else {"outputDimensionality": wanted}
        requests = [
            {"model": f"models/{model}", "content": {"parts": [{"text": text}]}, **size}
            for text in embedding.texts
        ]
        body = msgspec.json.encode({"requests": requests})
        return Rendered(body=body, dropped=embedding.dropped)

    def rewrite_request(self, body: bytes, *, model: str) -> bytes:
        """Return ``body`` with the model renamed wherever it is named, other bytes as they were."""
        members = read_members(body)
        if "requests" not in members:
            named = "model" in members
            return replace_string_member(body, "model", f"models/{model}") if named else body
        given, done = members["requests"], 0
        pieces: list[bytes] = []
        for raw in _requests(body):
            at = given.index(raw, done)  # between two requests stand no braces
            renamed = replace_string_member(raw, "model", f"models/{model}")
            pieces += (given[done:at], renamed)
            done = at + len(raw)
        return replace_members(body, {"requests": b"".join((*pieces, given[done:]))})

    def parse_response(self, body: bytes, *, request: bytes) -> Completion:  # noqa: ARG002 - numbers
        """Return the vectors."""
        check_utf8(body)
        answer = decode(_ANSWER, without_nan(body) if b"NaN" in body else body)
        found = answer.embeddings
        if found is None and answer.embedding is not None:
            found = [answer.embedding]
        if found is None:
            raise WireError("the answer has no embedding", "$.embeddings")
        usage = answer.usage_metadata
        tokens = None if usage is None else usage.prompt_token_count
        return Completion(
            id="",
            model="",
            parts=(),
            vectors=tuple(Vector(numbers=read_numbers(one.values)) for one in found),
            finish=Finish.STOP,
            usage=None if tokens is None else Usage(input_tokens=tokens),
        )

    def render_response(self, completion: Completion, embedding: Embedding) -> bytes:
        """Write the answer of the method that was asked."""
        values = [{"values": numbers} for numbers in numbers_of(completion)]
        said = {"embedding": values[0]} if embedding.is_single else {"embeddings": values}
        return msgspec.json.encode(said)

    def error_text(self, body: bytes) -> str | None:
        """Return the message of Google's error body: the same envelope as OpenAI's."""
        return envelope_text(body)

    def render_error(
        self, *, status: int, code: str, message: str, details: dict[str, object]
    ) -> bytes:
        """Return an error body as Google's SDKs read it; ours rides in a detail."""
        ours = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code}
        error = {
            "code": status,
            "message": message,
            "status": _STATUSES.get(status, "INTERNAL"),
            "details": [{**ours, "domain": "sidecar", "sidecar": details}],
        }
        return msgspec.json.encode({"error": error})


def _read(body: bytes) -> tuple[list[_One], bool]:
    """Return what is asked for each vector, and whether it is a single one."""
    check_utf8(body)
    request = decode(_REQUEST, body)
    if request.requests is None:
        return [decode(_ONE, body)], True
    if not request.requests:
        raise WireError("requests is empty", "$.requests")
    return request.requests, False


def _requests(body: bytes) -> list[bytes]:
    return [bytes(raw) for raw in decode(_RAWS, read_members(body)["requests"], "$.requests")]
