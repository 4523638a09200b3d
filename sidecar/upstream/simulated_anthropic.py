"""How a simulated Anthropic speaks: messages, plain and streamed, token counts, errors.

Shapes follow recorded traffic of api.anthropic.com (2025-2026): ``message_start``, a block start,
``ping``, deltas, block stop, ``message_delta`` with usage, ``message_stop``; an overload inside a
200 is ``event: error``.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import msgspec

from sidecar.upstream.simulated_answer import (
    Ask,
    AskError,
    ErrorAnswer,
    Finish,
    OfferedTool,
    RateState,
    Reply,
    StreamParts,
    estimate_tokens,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_STOP_REASON = {
    Finish.STOP: "end_turn",
    Finish.STOP_SEQUENCE: "stop_sequence",
    Finish.LENGTH: "max_tokens",
    Finish.TOOL_CALL: "tool_use",
}

# status -> type, message
_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("invalid_request_error", "Invalid request."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your credit balance is too low."),
    403: ("permission_error", "Your API key may not use this resource."),
    404: ("not_found_error", "model: not found"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "Number of requests has exceeded your per-minute rate limit."),
    500: ("api_error", "Internal server error"),
    503: ("api_error", "Service temporarily unavailable"),
    504: ("timeout_error", "Request timed out"),
    529: ("overloaded_error", "Overloaded"),
}


class _Source(msgspec.Struct):
    type: str = "base64"


class _Block(msgspec.Struct):
    type: str = "text"
    text: str = ""
    content: str | list[_Block] | None = None

    def words(self) -> str:
        """Return the text of the block and of what it holds."""
        return self.text + " " + _words(self.content) if self.content else self.text

    def images(self) -> int:
        """Return how many images the block is or holds."""
        inner = self.content if isinstance(self.content, list) else []
        return (self.type == "image") + sum(block.images() for block in inner)


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Block]

    def blocks(self) -> list[_Block]:
        """Return the content as blocks."""
        if isinstance(self.content, str):
            return [_Block(text=self.content)]
        return self.content


class _Tool(msgspec.Struct):
    name: str
    input_schema: object = None


class _ToolChoice(msgspec.Struct):
    type: str = "auto"
    name: str | None = None


class _OutputFormat(msgspec.Struct):
    type: str = "text"
    schema: object = None


class _OutputConfig(msgspec.Struct):
    format: _OutputFormat | None = None


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message]
    max_tokens: int | None = None
    stream: bool | None = False
    system: str | list[_Block] | None = None
    stop_sequences: list[str] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _ToolChoice | None = None
    output_config: _OutputConfig | None = None


_decoder = msgspec.json.Decoder(_Request)
_encode = msgspec.json.encode


class AnthropicDialect:
    """``simulated_answer.Dialect`` for Anthropic messages."""

    overload_status = 529
    token_rate_type = "rate_limit_error"  # noqa: S105 - an error type

    def read(self, body: bytes) -> Ask:
        """Read a messages request; ``max_tokens`` is required."""
        request = _decode(body)
        if request.max_tokens is None:
            raise AskError(ErrorAnswer(status=400, message="max_tokens: Field required"))
        return _ask(request)

    def count(self, body: bytes) -> bytes | None:
        """Return ``{"input_tokens": n}``."""
        return _encode({"input_tokens": _ask(_decode(body)).prompt_tokens})

    def plain(self, reply: Reply) -> bytes:
        """Return a ``message``."""
        content: list[object] = []
        if reply.pieces:
            content.append({"type": "text", "text": reply.text})
        for call in reply.calls:
            arguments = msgspec.Raw(call.arguments.encode())
            block = {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name}
            content.append({**block, "input": arguments})
        return _encode(
            {
                **_message(reply, output_tokens=reply.output_tokens),
                "content": content,
                "stop_reason": _STOP_REASON[reply.finish],
                "stop_sequence": reply.stop_sequence,
            }
        )

    def stream(
        self,
        reply: Reply,
        ask: Ask,  # noqa: ARG002 - usage always comes
        *,
        chunk_tokens: int,
    ) -> StreamParts:
        """Return the events of a message."""
        opening = _event("message_start", {"message": _message(reply, output_tokens=1)})
        closing = b""
        if reply.pieces:
            start = {"type": "text", "text": ""}
            opening += _event("content_block_start", {"index": 0, "content_block": start})
            closing = _event("content_block_stop", {"index": 0})
        content: list[tuple[bytes, int]] = []
        for at in range(0, len(reply.pieces), chunk_tokens):
            some = reply.pieces[at : at + chunk_tokens]
            delta = {"type": "text_delta", "text": "".join(some)}
            content.append((_event("content_block_delta", {"index": 0, "delta": delta}), len(some)))
        content += _tool_events(reply)
        end = {
            "stop_reason": _STOP_REASON[reply.finish],
            "stop_sequence": reply.stop_sequence,
        }
        usage = _usage(reply, output_tokens=reply.output_tokens)
        closing += _event("message_delta", {"delta": end, "usage": usage}) + _event("message_stop")
        return StreamParts(
            opening=opening + _event("ping"), content=tuple(content), closing=closing
        )

    def silence(self, reply: Reply) -> bytes:  # noqa: ARG002 - a ping names nothing
        """Return a ping."""
        return _event("ping")

    def broken(self, reply: Reply) -> bytes:  # noqa: ARG002 - cut before the text
        """Return a delta cut off inside its JSON."""
        delta = {"type": "text_delta", "text": "lost"}
        return _event("content_block_delta", {"index": 0, "delta": delta})[:-12] + b"\n\n"

    def error(self, error: ErrorAnswer, request_id: str) -> bytes:
        """Return ``{"type": "error", "error": {"type", "message"}, "request_id"}``."""
        return _encode({"type": "error", "error": _error(error), "request_id": request_id})

    def error_event(self, error: ErrorAnswer, request_id: str) -> bytes:
        """Return ``event: error``."""
        return _event("error", {"error": _error(error), "request_id": request_id})

    def models(self, names: tuple[str, ...], created_at_s: int) -> bytes:
        """Return a page of models."""
        created = _rfc3339(created_at_s)
        data = [
            {"type": "model", "id": name, "display_name": name, "created_at": created}
            for name in names
        ]
        first, last = (names[0], names[-1]) if names else (None, None)
        return _encode({"data": data, "has_more": False, "first_id": first, "last_id": last})

    def id_headers(self, request_id: str) -> tuple[tuple[str, str], ...]:
        """Return Anthropic's request id."""
        return (("request-id", request_id),)

    def rate_headers(self, state: RateState) -> tuple[tuple[str, str], ...]:
        """Return ``anthropic-ratelimit-requests-*``; the reset is an RFC 3339 date."""
        return (
            ("anthropic-ratelimit-requests-limit", str(state.limit)),
            ("anthropic-ratelimit-requests-remaining", str(state.remaining)),
            ("anthropic-ratelimit-requests-reset", _rfc3339(state.reset_at_s)),
        )


def _decode(body: bytes) -> _Request:
    try:
        request = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AskError(ErrorAnswer(status=400, message=str(error))) from error
    if not request.messages:
        message = "messages: at least one message is required"
        raise AskError(ErrorAnswer(status=400, message=message))
    return request


def _ask(request: _Request) -> Ask:
    choice = request.tool_choice or _ToolChoice()
    tools = [] if choice.type == "none" else request.tools or []
    blocks = [block for message in request.messages for block in message.blocks()]
    chars = sum(len(block.words()) for block in blocks) + len(_words(request.system))
    chars += len(_encode(tools)) if tools else 0
    last = request.messages[-1].blocks()
    wanted = request.output_config.format if request.output_config is not None else None
    return Ask(
        model=request.model,
        is_stream=bool(request.stream),
        prompt_tokens=estimate_tokens(
            chars, len(request.messages), sum(block.images() for block in blocks)
        ),
        last_text=_words(last),
        max_tokens=request.max_tokens,
        answers_tool=any(block.type == "tool_result" for block in last),
        tools=tuple(OfferedTool(name=tool.name, schema=tool.input_schema) for tool in tools),
        must_call=choice.type == "any",
        named_tool=choice.name if choice.type == "tool" else None,
        stop=tuple(request.stop_sequences or ()),
        json_schema=wanted.schema if wanted is not None and wanted.type == "json_schema" else None,
    )


def _words(content: str | list[_Block] | None) -> str:
    if isinstance(content, list):
        return " ".join(block.words() for block in content)
    return content or ""


def _usage(reply: Reply, *, output_tokens: int) -> dict[str, object]:
    return {
        "input_tokens": reply.prompt_tokens - reply.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": reply.cached_tokens,
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def _message(reply: Reply, *, output_tokens: int) -> dict[str, object]:
    return {
        "model": reply.model,
        "id": f"msg_{reply.id}",
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(reply, output_tokens=output_tokens),
    }


def _tool_events(reply: Reply) -> list[tuple[bytes, int]]:
    events: list[tuple[bytes, int]] = []
    first = 1 if reply.pieces else 0
    for index, call in enumerate(reply.calls, first):
        block = {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": {}}
        events.append((_event("content_block_start", {"index": index, "content_block": block}), 0))
        for fragment in ("", *call.fragments()):
            delta = {"type": "input_json_delta", "partial_json": fragment}
            event = _event("content_block_delta", {"index": index, "delta": delta})
            events.append((event, 1 if fragment else 0))
        events.append((_event("content_block_stop", {"index": index}), 0))
    return events


def _event(kind: str, fields: Mapping[str, object] | None = None) -> bytes:
    payload = _encode({"type": kind, **(fields or {})})
    return b"event: " + kind.encode() + b"\ndata: " + payload + b"\n\n"


def _error(error: ErrorAnswer) -> dict[str, object]:
    kind, message = _ERRORS.get(error.status, _ERRORS[error.family])
    said: dict[str, object] = {
        "type": error.type or kind,
        "message": error.message or message,
    }
    if error.code is not None:
        said["error_code"] = error.code
    return said


def _rfc3339(at_s: float) -> str:
    moment = dt.datetime.fromtimestamp(at_s, tz=dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
