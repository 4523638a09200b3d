"""The plain task form, for shells and small programs: ``{"input": …}`` in, ``{"output": …}`` out.

A task is an OpenAI chat request in other words, so that everything behind it (routing,
translation, streams) is the same; only the outermost layer differs. Unknown members are refused:
a misspelt ``shema`` would otherwise be a plain answer where JSON was wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.errors import WireError
from sidecar.value import value
from sidecar.wire.decode import check_utf8, decode
from sidecar.wire.neutral import (
    ErrorSeen,
    Finished,
    RefusalDelta,
    RefusalPart,
    TextDelta,
    TextPart,
    UsageSeen,
)
from sidecar.wire.openai_response import parse_response, write_finish, write_usage
from sidecar.wire.openai_stream import OpenAIStreamParser
from sidecar.wire.sse import SseParser, encode_event

if TYPE_CHECKING:
    from sidecar.domain import Usage
    from sidecar.wire.neutral import Delta, Finish

_Json = dict[str, object]
_EMPTY = b""


class _Task(msgspec.Struct, forbid_unknown_fields=True):
    input: msgspec.Raw
    system: str | None = None
    context: str | list[str] | None = None
    schema: msgspec.Raw = msgspec.Raw(_EMPTY)
    stream: bool | None = None
    max_tokens: int | None = None


class _Request(msgspec.Struct):
    response_format: msgspec.Raw = msgspec.Raw(_EMPTY)


@value
class TaskFacts:
    """What a task's answer says about itself; ``model`` is ``provider/model``."""

    model: str
    route: str
    call_id: str
    degraded: str | None = None
    cost_usd: float | None = None


_TASK = msgspec.json.Decoder(_Task)
_REQUEST = msgspec.json.Decoder(_Request)
_TEXT = msgspec.json.Decoder(str)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def parse_task(body: bytes, model: str) -> bytes:
    """Return the OpenAI chat request that a task means.

    ``input`` is text or an object (then its JSON is the text); ``context`` comes before it.

    Raises:
        WireError: not JSON, a wrong type, or a member that a task does not have.
    """
    check_utf8(body)
    task = decode(_TASK, body)
    messages = [] if task.system is None else [{"role": "system", "content": task.system}]
    context = [task.context] if isinstance(task.context, str) else task.context or []
    text = "\n\n".join([*context, _input_text(bytes(task.input))])
    request: _Json = {
        "model": model,
        "messages": [*messages, {"role": "user", "content": text}],
    }
    schema = bytes(task.schema)
    if schema not in {_EMPTY, b"null"}:
        decode(_OBJECT, schema, "$.schema")
        answer = {"name": "answer", "schema": msgspec.Raw(schema)}
        request["response_format"] = {"type": "json_schema", "json_schema": answer}
    if task.max_tokens is not None:
        request["max_tokens"] = task.max_tokens
    if task.stream:
        request |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode(request)


def _input_text(raw: bytes) -> str:
    if raw.startswith(b'"'):
        return decode(_TEXT, raw, "$.input")
    if raw.startswith(b"{"):
        return raw.decode()
    raise WireError("Expected `str | object`", "$.input")


def has_schema(request_body: bytes) -> bool:
    """Return whether the task behind this chat request came with a schema.

    Raises:
        WireError: not a request.
    """
    return bytes(decode(_REQUEST, request_body).response_format) not in {_EMPTY, b"null"}


def render_task_answer(
    completion_body: bytes, facts: TaskFacts, *, is_structured: bool = False
) -> bytes:
    """Return the task's answer; ``is_structured``: a schema was given, so the text should be JSON.

    Raises:
        WireError: ``completion_body`` is not a chat completion.
    """
    completion = parse_response(completion_body)
    texts = [part.text for part in completion.parts if isinstance(part, TextPart | RefusalPart)]
    text = "".join(texts)
    output: object = text
    if is_structured and _is_object(text):
        output = msgspec.Raw(text.strip().encode())
    answer = {"output": output, **_closing(facts, completion.finish, completion.usage)}
    return msgspec.json.encode(answer)


class TaskStream:
    """Turns the bytes of an OpenAI chat stream into a task's stream."""

    def __init__(self) -> None:
        self._events = SseParser()
        self._parser = OpenAIStreamParser()
        self._finish: Finish | None = None
        self._usage: Usage | None = None
        self._has_failed = False

    def feed(self, chunk: bytes) -> bytes:
        """Return the task events that ``chunk`` completes.

        Raises:
            WireError: the bytes are not a chat stream.
        """
        deltas = (delta for event in self._events.feed(chunk) for delta in self._parser.feed(event))
        return b"".join([self._render(delta) for delta in deltas])

    def finish(self, facts: TaskFacts) -> bytes:
        """Return the last event, ``done``; nothing after an error, an error for a cut stream."""
        if self._has_failed:
            return b""
        if not self._parser.is_complete():
            error = {"type": "upstream_interrupted", "message": "the answer is not complete"}
            return _encode({"error": error})
        return _encode({"done": True, **_closing(facts, self._finish, self._usage)})

    def _render(self, delta: Delta) -> bytes:
        match delta:
            case TextDelta() | RefusalDelta():
                return _encode({"delta": delta.text})
            case Finished():
                self._finish = delta.finish
            case UsageSeen():
                self._usage = delta.usage
            case ErrorSeen():
                self._has_failed = True
                return _encode({"error": msgspec.Raw(_error_of(delta.data))})
            case _:
                pass
        return b""


def _closing(facts: TaskFacts, finish: Finish | None, usage: Usage | None) -> _Json:
    return {
        "model": facts.model,
        "route": facts.route,
        "call_id": facts.call_id,
        "degraded": facts.degraded,
        "cost_usd": facts.cost_usd,
        "finish_reason": None if finish is None else write_finish(finish),
        "usage": None if usage is None else write_usage(usage),
    }


def _encode(value: _Json) -> bytes:
    return encode_event(msgspec.json.encode(value))


def _error_of(data: bytes) -> bytes:
    """Return the error object itself."""
    return bytes(decode(_OBJECT, data).get("error", data))


def _is_object(text: str) -> bool:
    try:
        _OBJECT.decode(text)
    except ValueError:
        return False
    return True
