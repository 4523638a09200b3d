"""Answers that are not the JSON that was asked for are failures; another endpoint is tried."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sidecar.domain import OnBreak, Route, RouteName, WireFormat
from sidecar.events import AttemptFinished, CallFinished
from sidecar.wire.formats import CODECS
from tests.scripted import PATH_OF, Answer, Caller, Sidecar, endpoint
from tests.wire.replays import asking

if TYPE_CHECKING:
    from sidecar.domain import Endpoint

OPENAI, ANTHROPIC = WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES
SCHEMA = {
    "type": "object",
    "properties": {"label": {"enum": ["spam", "ham"]}},
    "required": ["label"],
}
GOOD, BAD, PROSE = '{"label":"ham"}', '{"label":"sekret"}', "Sure! Here it is."
FIRST, SECOND = endpoint("first", OPENAI), endpoint("second", ANTHROPIC)
USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def said(text: str, finish: str = "stop", **message: object) -> Answer:
    """Return a whole OpenAI answer."""
    choice = {"message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    body = {"id": "a", "model": "m", "created": 1, "choices": [choice], "usage": USAGE}
    return Answer(chunks=(json.dumps(body).encode(),))


def streamed(text: str, finish: str = "stop") -> Answer:
    """Return an OpenAI stream in two pieces."""
    half = len(text) // 2
    deltas: list[dict[str, object]] = [
        {"delta": {"role": "assistant", "content": text[:half]}, "finish_reason": None},
        {"delta": {"content": text[half:]}, "finish_reason": None},
        {"delta": {}, "finish_reason": finish},
    ]
    chunks = [{"id": "a", "model": "m", "choices": [{"index": 0, **delta}]} for delta in deltas]
    events = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks]
    return Answer(chunks=(*events, b"data: [DONE]\n\n"))


def claude(text: str) -> Answer:
    """Return a whole Anthropic answer."""
    body = {
        "id": "b",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    return Answer(chunks=(json.dumps(body).encode(),))


ASKED: dict[str, tuple[WireFormat, dict[str, object]]] = {
    "openai-schema": (
        OPENAI,
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "label", "schema": SCHEMA},
            }
        },
    ),
    "openai-object": (OPENAI, {"response_format": {"type": "json_object"}}),
    "anthropic-schema": (
        ANTHROPIC,
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    ),
    "openai-text": (OPENAI, {}),
    "openai-no-schema": (
        OPENAI,
        {"response_format": {"type": "json_schema", "json_schema": {"name": "", "schema": None}}},
    ),
}


def ask(
    answers: list[tuple[Endpoint, Answer]],
    asked: str = "openai-schema",
    *,
    route: Route | None = None,
    is_stream: bool = False,
) -> tuple[Caller, Sidecar]:
    """Ask for a label, and return what the caller got."""
    wire_format, extra = ASKED[asked]
    messages = [{"role": "user", "content": "spam or ham?"}]
    body = {"model": "r", "max_tokens": 99, "messages": messages, "stream": is_stream, **extra}
    sidecar = Sidecar(answers, route=route)
    caller = Caller(path=PATH_OF[wire_format], body=json.dumps(body).encode())
    return sidecar.ask(caller), sidecar


def attempts(caller: Caller) -> str:
    """Return the attempts as the caller is told."""
    return caller.sent_headers["x-sidecar-attempts"]


def comment(caller: Caller) -> dict[str, object]:
    """Return the figures of a stream's last comment."""
    last = caller.received.decode().rsplit(": sidecar ", 1)[1]
    found: dict[str, object] = json.loads(last)
    return found


@pytest.mark.parametrize(
    ("asked", "text", "is_failure"),
    [
        ("openai-schema", GOOD, False),
        ("openai-schema", BAD, True),
        ("openai-schema", PROSE, True),
        ("openai-object", BAD, False),
        ("openai-object", PROSE, True),
        ("anthropic-schema", BAD, True),
        ("openai-text", PROSE, False),
        ("openai-no-schema", PROSE, False),
    ],
)
def test_an_answer_that_is_not_as_asked_is_tried_elsewhere(
    asked: str, text: str, is_failure: bool
) -> None:
    """In each caller format; what was asked as text stays free."""
    caller, _ = ask([(FIRST, said(text)), (SECOND, claude(GOOD))], asked)
    assert caller.status == 200
    tried = "first/m:DEGENERATE,second/m:OK" if is_failure else "first/m:OK"
    assert attempts(caller) == tried
    expected = GOOD if is_failure else text
    assert json.dumps(expected)[1:-1] in caller.received.decode()


@pytest.mark.parametrize("caller_format", CODECS, ids=lambda one: one.value)
def test_every_caller_format_is_checked(caller_format: WireFormat) -> None:
    """However a format asks for a schema, an answer that breaks it is none."""
    caller = asking(caller_format, is_stream=False, feature="JSON schema")
    wrong, right = said('{"verdict":7}'), said('{"verdict":"yes"}')
    second = endpoint("second", OPENAI)
    Sidecar([(FIRST, wrong), (second, right)], route_name="m").ask(caller)
    assert attempts(caller) == "first/m:DEGENERATE,second/m:OK"


@pytest.mark.parametrize(
    "answer",
    [
        said('{"label":', finish="length"),
        said("I won't.", finish="content_filter"),
        said("", refusal="I can't help with that."),
        said(
            "",
            finish="tool_calls",
            tool_calls=[{"id": "t", "type": "function", "function": {"name": "f"}}],
        ),
    ],
    ids=["truncated", "filtered", "refusal", "tool call"],
)
def test_what_says_by_itself_that_it_is_no_json_is_an_answer(answer: Answer) -> None:
    """Truncation is told by the finish reason; refusals and tool calls are answers too."""
    caller, _ = ask([(FIRST, answer), (SECOND, claude(GOOD))])
    assert attempts(caller) == "first/m:OK"


def test_nobody_hears_what_a_wrong_answer_said() -> None:
    """Place and rule are told; the content stays where it is. The wrong answer is paid for."""
    caller, sidecar = ask([(FIRST, said(BAD))])
    assert caller.status == 503
    ended = [one for one in sidecar.recorder.events if isinstance(one, AttemptFinished)]
    assert {one.outcome.cls.value for one in ended} == {"DEGENERATE"}
    assert ended[0].outcome.message.endswith("$.label: enum")
    assert ended[0].outcome.usage is not None
    assert ended[0].outcome.usage.output_tokens == 7
    assert "sekret" not in caller.received.decode() + repr(sidecar.recorder.events)


def test_a_route_may_leave_it_to_its_callers() -> None:
    """``check_output: false``: what a model said is passed on."""
    lenient = Route(name=RouteName("r"), tiers=(), checks_output=False)
    caller, _ = ask([(FIRST, said(PROSE)), (SECOND, claude(GOOD))], route=lenient)
    assert attempts(caller) == "first/m:OK"


def test_a_stream_is_judged_at_its_end() -> None:
    """It was shown already: its last comment and its event say where it is wrong."""
    caller, sidecar = ask([(FIRST, streamed(BAD)), (SECOND, claude(GOOD))], is_stream=True)
    assert b"[DONE]" in caller.received
    assert comment(caller)["invalid_output"] == "$.label: enum"
    (ended,) = [one for one in sidecar.recorder.events if isinstance(one, CallFinished)]
    assert ended.invalid_output == "$.label: enum"


@pytest.mark.parametrize(
    "answer", [streamed(GOOD), streamed('{"label":', finish="length")], ids=["good", "truncated"]
)
def test_a_good_stream_says_nothing_of_it(answer: Answer) -> None:
    """The member is there only where something is wrong with the JSON."""
    caller, _ = ask([(FIRST, answer)], is_stream=True)
    assert "invalid_output" not in comment(caller)


def test_a_stream_kept_back_is_tried_elsewhere() -> None:
    """With ``on_break: restart`` nobody has seen it yet."""
    whole = Route(name=RouteName("r"), tiers=(), on_break=OnBreak.RESTART)
    third = endpoint("third", OPENAI)
    answers = [(FIRST, streamed(BAD)), (third, streamed(GOOD))]
    caller, _ = ask(answers, route=whole, is_stream=True)
    assert comment(caller)["attempts"] == ["first/m:DEGENERATE", "third/m:OK"]
    assert b"sekret" not in caller.received
    assert "invalid_output" not in comment(caller)
