"""How a simulated OpenAI speaks: chat completions, plain and streamed, its errors and headers.

Shapes follow recorded traffic of api.openai.com (2024-2026): role chunk first, ``usage: null`` on
every chunk when usage was asked for, a last chunk with empty ``choices``, then ``[DONE]``. One
choice is answered; ``n`` is not honoured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.upstream import simulated_embeddings
from sidecar.upstream.simulated_answer import (
    Ask,
    AskError,
    ErrorAnswer,
    Finish,
    OfferedTool,
    RateState,
    Reply,
    SaidCall,
    StreamParts,
    estimate_tokens,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_FINISH = {
    Finish.STOP: "stop",
    Finish.STOP_SEQUENCE: "stop",
    Finish.LENGTH: "length",
    Finish.TOOL_CALL: "tool_calls",
}

# status -> type, code, message
_ERRORS: Mapping[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "Invalid request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    402: ("unknown_error", "invalid_request_error", "Insufficient Balance"),
    403: ("request_forbidden", "unsupported_country_region_territory", "Region not supported"),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests per min (RPM)."),
    500: ("server_error", None, "The server had an error while processing your request."),
    503: ("server_error", None, "The service is temporarily unavailable."),
    529: (
        "server_error",
        "server_is_overloaded",
        "Our servers are currently overloaded. Please try again later.",
    ),
}
# type -> code, message: where the type says more than the status
_TYPES: Mapping[str, tuple[str | None, str]] = {
    "insufficient_quota": (
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "tokens": ("rate_limit_exceeded", "Rate limit reached on tokens per min (TPM)."),
}


class _Function(msgspec.Struct):
    name: str
    parameters: object = None


class _Tool(msgspec.Struct):
    function: _Function | None = None


class _Part(msgspec.Struct):
    type: str = "text"
    text: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None

    def text(self) -> str:
        """Return the words of the message."""
        if isinstance(self.content, list):
            return " ".join(part.text for part in self.content)
        return self.content or ""

    def images(self) -> int:
        """Return how many images the message holds."""
        parts = self.content if isinstance(self.content, list) else []
        return sum(part.type == "image_url" for part in parts)


class _Schema(msgspec.Struct):
    schema: object = None


class _ResponseFormat(msgspec.Struct):
    type: str = "text"
    json_schema: _Schema | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _NamedTool(msgspec.Struct):
    function: _Function


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message]
    stream: bool | None = False
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | _NamedTool | None = None
    response_format: _ResponseFormat | None = None
    stream_options: _StreamOptions | None = None


_decoder = msgspec.json.Decoder(_Request)
_encode = msgspec.json.encode


class OpenAiDialect:
    """``simulated_answer.Dialect`` for OpenAI chat completions."""

    overload_status = 503
    token_rate_type = "tokens"  # noqa: S105 - an error type

    def read(self, body: bytes) -> Ask:
        """Read a chat completion request."""
        try:
            request = _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            message = f"We could not parse the body of your request: {error}"
            raise AskError(ErrorAnswer(status=400, message=message)) from error
        if not request.messages:
            message = "Invalid 'messages': empty array. Expected an array with minimum length 1."
            raise AskError(ErrorAnswer(status=400, message=message))
        return _ask(request)

    def count(self, body: bytes) -> bytes | None:  # noqa: ARG002 - the format has no such endpoint
        """OpenAI counts no tokens for chat completions."""
        return None

    def plain(self, reply: Reply) -> bytes:
        """Return a ``chat.completion``, or a list of embeddings."""
        if reply.vectors is not None:
            return simulated_embeddings.answer(reply, reply.vectors)
        message: dict[str, object] = {
            "role": "assistant",
            "content": None if reply.calls else reply.text,
            "refusal": None,
            "annotations": [],
        }
        if reply.calls:
            message["tool_calls"] = [_tool_call(call) for call in reply.calls]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": _FINISH[reply.finish],
        }
        whole = _envelope(reply, "chat.completion")
        return _encode({**whole, "choices": [choice], "usage": _usage(reply)})

    def stream(self, reply: Reply, ask: Ask, *, chunk_tokens: int) -> StreamParts:
        """Return ``chat.completion.chunk`` events and ``[DONE]``."""
        first = {"role": "assistant", "content": None if reply.calls else "", "refusal": None}
        content: list[tuple[bytes, int]] = []
        for at in range(0, len(reply.pieces), chunk_tokens):
            some = reply.pieces[at : at + chunk_tokens]
            content.append((_chunk(reply, ask, {"content": "".join(some)}), len(some)))
        for index, call in enumerate(reply.calls):
            start = {"index": index, **_tool_call(call, arguments="")}
            content.append((_chunk(reply, ask, {"tool_calls": [start]}), 0))
            for fragment in call.fragments():
                delta = {"index": index, "function": {"arguments": fragment}}
                content.append((_chunk(reply, ask, {"tool_calls": [delta]}), 1))
        closing = _chunk(reply, ask, {}, finish=_FINISH[reply.finish])
        if ask.wants_usage:
            last = _envelope(reply, "chat.completion.chunk")
            closing += _event(_encode({**last, "choices": [], "usage": _usage(reply)}))
        return StreamParts(
            opening=_chunk(reply, ask, first),
            content=tuple(content),
            closing=closing + b"data: [DONE]\n\n",
        )

    def silence(self, reply: Reply) -> bytes:
        """Return a comment, as OpenRouter sends while it waits, and an empty delta."""
        ask = Ask(model=reply.model, is_stream=True, prompt_tokens=1, last_text="")
        return b": PROCESSING\n\n" + _chunk(reply, ask, {"content": ""})

    def broken(self, reply: Reply) -> bytes:
        """Return a chunk cut off inside its JSON."""
        ask = Ask(model=reply.model, is_stream=True, prompt_tokens=1, last_text="")
        return _chunk(reply, ask, {"content": "lost"})[:-12] + b"\n\n"

    def error(self, error: ErrorAnswer, request_id: str) -> bytes:  # noqa: ARG002 - in the headers
        """Return ``{"error": {"message", "type", "param", "code"}}``."""
        return _encode({"error": _error(error)})

    def error_event(self, error: ErrorAnswer, request_id: str) -> bytes:  # noqa: ARG002 - as above
        """Return the error object as a chunk of the stream."""
        return _event(_encode({"error": _error(error)}))

    def models(self, names: tuple[str, ...], created_at_s: int) -> bytes:
        """Return ``{"object": "list", "data": […]}``."""
        data = [
            {"id": name, "object": "model", "created": created_at_s, "owned_by": "simulated"}
            for name in names
        ]
        return _encode({"object": "list", "data": data})

    def id_headers(self, request_id: str) -> tuple[tuple[str, str], ...]:
        """Return OpenAI's request id and API version."""
        return (("x-request-id", request_id), ("openai-version", "2020-10-01"))

    def rate_headers(self, state: RateState) -> tuple[tuple[str, str], ...]:
        """Return ``x-ratelimit-*-requests``; the reset is a Go duration."""
        return (
            ("x-ratelimit-limit-requests", str(state.limit)),
            ("x-ratelimit-remaining-requests", str(state.remaining)),
            ("x-ratelimit-reset-requests", f"{state.reset_s:.3f}s"),
        )


def _ask(request: _Request) -> Ask:
    tools = [tool.function for tool in request.tools or [] if tool.function is not None]
    choice = request.tool_choice
    if choice == "none":
        tools = []
    chars = sum(len(message.text()) for message in request.messages)
    chars += len(_encode(tools)) if tools else 0
    asked = [message.text() for message in request.messages if message.role == "user"]
    limit = request.max_completion_tokens
    stop = request.stop if isinstance(request.stop, list) else [request.stop or ""]
    options = request.stream_options
    return Ask(
        model=request.model,
        is_stream=bool(request.stream),
        prompt_tokens=estimate_tokens(
            chars, len(request.messages), sum(message.images() for message in request.messages)
        ),
        last_text=asked[-1] if asked else "",
        max_tokens=request.max_tokens if limit is None else limit,
        answers_tool=request.messages[-1].role == "tool",
        tools=tuple(OfferedTool(name=tool.name, schema=tool.parameters) for tool in tools),
        must_call=choice == "required",
        named_tool=choice.function.name if isinstance(choice, _NamedTool) else None,
        stop=tuple(word for word in stop if word),
        json_schema=_json_schema(request.response_format),
        wants_usage=options is not None and options.include_usage,
    )


def _json_schema(wanted: _ResponseFormat | None) -> object:
    if wanted is None or wanted.type == "text":
        return None
    return wanted.json_schema.schema if wanted.json_schema is not None else True


def _envelope(reply: Reply, kind: str) -> dict[str, object]:
    return {
        "id": f"chatcmpl-{reply.id}",
        "object": kind,
        "created": reply.created_at_s,
        "model": reply.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }


def _chunk(reply: Reply, ask: Ask, delta: object, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {**_envelope(reply, "chat.completion.chunk"), "choices": [choice]}
    if ask.wants_usage:
        chunk["usage"] = None
    return _event(_encode(chunk))


def _event(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"


def _tool_call(call: SaidCall, arguments: str | None = None) -> dict[str, object]:
    said = call.arguments if arguments is None else arguments
    function = {"name": call.name, "arguments": said}
    return {"id": f"call_{call.id}", "type": "function", "function": function}


def _usage(reply: Reply) -> dict[str, object]:
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.prompt_tokens + reply.output_tokens,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reply.reasoning_tokens,
            "audio_tokens": 0,
        },
    }


def _error(error: ErrorAnswer) -> dict[str, object]:
    kind, code, message = _ERRORS.get(error.status, _ERRORS[error.family])
    if error.type is not None:
        code, message = _TYPES.get(error.type, (error.type, message))
        kind = error.type
    return {
        "message": error.message or message,
        "type": kind,
        "param": None,
        "code": error.code or code,
    }
