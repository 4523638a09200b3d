"""The codec of Replicate's predictions; only providers speak it.

A prediction is a run of a program with named inputs: ``{"input": {"prompt", "system_prompt", …}}``.
There are no messages, so a conversation of one turn is its text and a longer one a transcript that
ends where the assistant speaks next. Tools, schemas and images have no place that all models know,
and are named as lost. The answer is ``{"status", "output": text or pieces, "error", "metrics"}``; a
stream (server-sent events) has ``output`` with plain text, ``logs``, ``error`` and ``done``, whose
reason says if it was an end at all. Which requests it takes to get there is ``upstream``'s matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from sidecar.domain import Usage, WireFormat
from sidecar.errors import WireError
from sidecar.wire.decode import check_utf8, decode
from sidecar.wire.neutral import (
    Completion,
    Delta,
    Ended,
    ErrorSeen,
    Finish,
    Finished,
    ImagePart,
    OutputMode,
    ReasoningPart,
    RefusalPart,
    Rendered,
    Role,
    Started,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from sidecar.wire.openai_content import Dropped
from sidecar.wire.sse import SseParser, encode_event

if TYPE_CHECKING:
    from sidecar.wire.codec import Framer, StreamParser
    from sidecar.wire.neutral import Conversation, Part, Turn
    from sidecar.wire.sse import SseEvent

_Json = dict[str, object]

_SPEAKERS = {Role.USER: "User", Role.ASSISTANT: "Assistant"}
_LOST = {
    ImagePart: "messages.image_url",
    ReasoningPart: "messages.reasoning",
    ToolCallPart: "messages.tool_calls",
    ToolResultPart: "messages.tool_result",
}
_OVER = frozenset({"succeeded", "failed", "canceled", "aborted"})


class _Urls(msgspec.Struct):
    stream: str | None = None


class _Metrics(msgspec.Struct):
    input_token_count: int | None = None
    output_token_count: int | None = None


class Prediction(msgspec.Struct):
    """A prediction as it stands; ``output`` is there once it has succeeded."""

    id: str
    status: str
    model: str = ""
    output: str | list[str] | None = None
    error: str | None = None
    urls: _Urls = msgspec.field(default_factory=_Urls)
    metrics: _Metrics | None = None

    def is_over(self) -> bool:
        """Return whether nothing more will come."""
        return self.status in _OVER

    def text(self) -> str:
        """Return the whole output."""
        return self.output if isinstance(self.output, str) else "".join(self.output or ())

    def problem(self) -> str | None:
        """Return why there is no answer, None if there may be one."""
        if self.status == "succeeded" or not self.is_over():
            return None
        return self.error or f"the prediction was {self.status}"


class _Problem(msgspec.Struct):
    detail: str


class _Done(msgspec.Struct):
    reason: str | None = None


_PREDICTION = msgspec.json.Decoder(Prediction)
_PROBLEM = msgspec.json.Decoder(_Problem)
_DONE = msgspec.json.Decoder(_Done)


class ReplicateCodec:
    """Stateless; see ``ProviderCodec`` for every method."""

    format = WireFormat.REPLICATE

    def path_for(self, model: str, *, is_stream: bool) -> str:  # noqa: ARG002 - it is in the body
        """Return the path of an official model, or the common one of versions (``…:version``)."""
        if ":" in model:
            return "/v1/predictions"
        return f"/v1/models/{quote(model)}/predictions"

    def render_request(
        self, conversation: Conversation, *, model: str, is_stream: bool, max_tokens_field: str
    ) -> Rendered:
        """Write a request, with the inputs that language models there share."""
        dropped = Dropped(conversation.dropped)
        body: _Json = {"input": _input(conversation, max_tokens_field, dropped)}
        _, _, version = model.partition(":")
        if version:
            body["version"] = version
        if is_stream:
            body["stream"] = True
        return Rendered(body=msgspec.json.encode(body), dropped=dropped.names())

    def parse_response(self, body: bytes) -> Completion:
        """Read a prediction that is over."""
        prediction = read_prediction(body)
        problem = prediction.problem()
        if problem is not None:
            raise WireError(problem, "$.status")
        text = prediction.text()
        return Completion(
            id=prediction.id,
            model=prediction.model,
            parts=(TextPart(text=text),) if text else (),
            finish=Finish.STOP if prediction.is_over() else None,
            usage=_usage(prediction.metrics),
        )

    def framer(self) -> Framer:
        """Return a fresh framer: server-sent events."""
        return SseParser()

    def stream_parser(self) -> StreamParser:
        """Return a fresh parser."""
        return ReplicateStreamParser()

    def error_text(self, body: bytes) -> str | None:
        """Return the detail of a refusal, or why a prediction failed."""
        try:
            return decode(_PROBLEM, body).detail
        except WireError:
            pass
        try:
            return read_prediction(body).problem()
        except WireError:
            return None


def read_prediction(body: bytes) -> Prediction:
    """Return the prediction that ``body`` is.

    Raises:
        WireError: it is none.
    """
    check_utf8(body)
    return decode(_PREDICTION, body)


def as_events(body: bytes) -> bytes:
    """Return a prediction that is over as the stream that it would have been.

    Raises:
        WireError: it is none.
    """
    prediction = read_prediction(body)
    problem = prediction.problem()
    if problem is not None:
        return encode_event(problem.encode(), "error")
    output = encode_event(prediction.text().encode(), "output")
    return output + encode_event(b"{}", "done")


class ReplicateStreamParser:
    """One stream's parser (see ``StreamParser``); it ends with ``done`` alone."""

    def __init__(self) -> None:
        self._is_started = False
        self._is_done = False

    def feed(self, event: SseEvent) -> tuple[Delta, ...]:
        """Return what ``event`` says."""
        deltas = self._read(event.event, event.data or b"")
        if self._is_started or not deltas:
            return deltas
        self._is_started = True
        return (Started(id="", model=""), *deltas)

    def is_complete(self) -> bool:
        """Return whether ``done`` was seen."""
        return self._is_done

    def _read(self, name: str | None, data: bytes) -> tuple[Delta, ...]:
        if name == "output" and data:
            try:
                return (TextDelta(text=data.decode()),)
            except UnicodeDecodeError as error:
                raise WireError("not valid UTF-8") from error
        if name == "error":
            return (_error(data.decode("utf-8", "replace")),)
        if name != "done":
            return ()
        reason = decode(_DONE, data or b"{}").reason
        if reason is not None:
            return (_error(f"the prediction ended: {reason}"),)
        self._is_done = True
        return (Finished(finish=Finish.STOP), Ended())


def _error(text: str) -> ErrorSeen:
    """Return the error that ``text`` tells: plain words, or an object with its detail."""
    data = text.encode()
    try:
        return ErrorSeen(message=decode(_PROBLEM, data).detail, error_type=None, data=data)
    except WireError:
        data = msgspec.json.encode({"message": text})
        return ErrorSeen(message=text, error_type=None, data=data)


def _usage(metrics: _Metrics | None) -> Usage | None:
    if metrics is None or metrics.output_token_count is None:
        return None
    return Usage(
        input_tokens=metrics.input_token_count or 0, output_tokens=metrics.output_token_count
    )


# --- requests ----------------------------------------------------------------------------------


def _input(conversation: Conversation, max_tokens_field: str, dropped: Dropped) -> _Json:
    sampling = conversation.sampling
    system = "\n\n".join(conversation.system)
    stop = [text for text in conversation.stop if "," not in text]
    foreign = {
        "tools": conversation.tools or None,
        "response_format": conversation.output.mode is not OutputMode.TEXT or None,
        "reasoning_effort": conversation.reasoning_effort,
        "thinking.budget_tokens": conversation.reasoning_tokens,
        "user": conversation.user_id,
        "stop": len(stop) < len(conversation.stop) or None,
    }
    for name, value in foreign.items():
        if value is not None:
            dropped.add(name)
    inputs: _Json = {
        "prompt": _prompt(conversation.turns, dropped),
        "system_prompt": system or None,
        max_tokens_field: conversation.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "stop_sequences": ",".join(stop) or None,
    }
    return {name: value for name, value in inputs.items() if value is not None}


def _prompt(turns: tuple[Turn, ...], dropped: Dropped) -> str:
    said = [(turn.role, _text(turn.parts, dropped)) for turn in turns]
    if len(said) == 1 and said[0][0] is Role.USER:
        return said[0][1]
    lines = [f"{_SPEAKERS[role]}: {text}" for role, text in said if text]
    if not said or said[-1][0] is Role.USER:
        lines.append(f"{_SPEAKERS[Role.ASSISTANT]}:")
    return "\n\n".join(lines)


def _text(parts: tuple[Part, ...], dropped: Dropped) -> str:
    """Return the text of a turn, results of tools told as text too."""
    texts: list[str] = []
    for part in parts:
        if isinstance(part, TextPart | RefusalPart):
            texts.append(part.text)
        else:
            dropped.add(_LOST[type(part)])
        if isinstance(part, ToolResultPart):
            texts.append(_text(part.content, dropped))
    return "\n".join(texts)
