"""OpenAI Responses streams: recorded ones, the script that callers play, and the corners."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from sidecar.domain import Usage
from sidecar.errors import WireError
from sidecar.wire.neutral import (
    Delta,
    Ended,
    ErrorSeen,
    Finish,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
    UsageSeen,
)
from sidecar.wire.openai_responses import OpenAIResponsesCodec
from sidecar.wire.sse import SseEvent, SseParser

CODEC = OpenAIResponsesCodec()
RECORDED = Path(__file__).parent / "recorded" / "responses"
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
Json = dict[str, Any]


def recorded_streams() -> list[Any]:
    """Return every recorded stream with its name."""
    return [
        pytest.param(text.encode(), id=f"{path.stem[:60]}-{position}")
        for path in sorted(RECORDED.glob("*.json"))
        for position, entry in enumerate(json.loads(path.read_text())["interactions"])
        if (text := entry["response"].get("body_text") or "").startswith(("data:", "event:"))
    ]


def events_of(stream: bytes) -> list[Json]:
    """Return the events' data, decoded."""
    return [json.loads(event.data) for event in SseParser().feed(stream) if event.data]


def feed(*events: Json) -> list[Delta]:
    """Return the deltas of these events."""
    parser = CODEC.stream_parser()
    raw = [SseEvent(b"", event.get("type"), json.dumps(event).encode()) for event in events]
    return [delta for event in raw for delta in parser.feed(event)]


def render(*deltas: Delta) -> bytes:
    """Return the stream that says ``deltas``."""
    renderer = CODEC.stream_renderer(wants_usage=False)
    return b"".join(renderer.render(delta) for delta in deltas) + renderer.finish()


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", recorded_streams())
def test_recorded_streams(stream: bytes) -> None:
    """A stream says in pieces what its last event says as a whole."""
    parser = CODEC.stream_parser()
    deltas = [delta for event in SseParser().feed(stream) for delta in parser.feed(event)]
    assert parser.is_complete()
    last = events_of(stream)[-1]["response"]
    whole = CODEC.parse_response(json.dumps(last).encode())
    started, ended = deltas[0], deltas[-1]
    assert isinstance(started, Started)
    assert (started.id, started.model) == (whole.id, whole.model)
    assert isinstance(ended, Ended)
    texts = [delta.text for delta in deltas if isinstance(delta, TextDelta)]
    assert "".join(texts) == "".join(p.text for p in whole.parts if isinstance(p, TextPart))
    assert _calls(deltas) == [
        (p.id, p.name, p.arguments) for p in whole.parts if isinstance(p, ToolCallPart)
    ]
    (finished,) = [delta for delta in deltas if isinstance(delta, Finished)]
    assert (finished.finish, finished.item_ids) == (whole.finish, whole.item_ids)
    assert [delta.usage for delta in deltas if isinstance(delta, UsageSeen)] == [whole.usage]


def _calls(deltas: list[Delta]) -> list[tuple[str, str, str]]:
    return [
        (
            start.id,
            start.name,
            "".join(
                delta.arguments
                for delta in deltas
                if isinstance(delta, ToolCallDelta) and delta.index == start.index
            ),
        )
        for start in deltas
        if isinstance(start, ToolCallStart)
    ]


def call(**members: Any) -> Json:
    """Return the item of a call."""
    return {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f"} | members


def test_calls_side_by_side() -> None:
    """Arguments go to their call by the item's place, or by its id where places are left out."""
    added, delta = "response.output_item.added", "response.function_call_arguments.delta"
    said: list[Json] = [
        {"type": delta, "output_index": 1, "item_id": "x", "delta": "{"},
        {"type": delta, "output_index": 0, "item_id": "y", "delta": "1"},
        {"type": delta, "output_index": 1, "item_id": "z", "delta": "}"},
    ]
    begun: list[Json] = [
        {"type": added, "output_index": place, "item": call(id=f"fc_{place}", call_id=f"c{place}")}
        for place in (0, 1)
    ]
    assert _calls(feed(*begun, *said)) == [("c0", "f", "1"), ("c1", "f", "{}")]
    for event in begun:
        del event["output_index"]
    for event in said:
        event["item_id"] = f"fc_{event.pop('output_index')}"
    assert _calls(feed(*begun, *said)) == [("c0", "f", "1"), ("c1", "f", "{}")]


@pytest.mark.parametrize(
    ("events", "deltas"),
    [
        (
            [
                {
                    "type": "response.output_item.done",
                    "output_index": 0,
                    "item": call(arguments="{}"),
                }
            ],
            [ToolCallStart(index=0, id="c1", name="f"), ToolCallDelta(index=0, arguments="{}")],
        ),
        (
            [
                {"type": "response.output_item.added", "output_index": 0, "item": call()},
                {
                    "type": "response.function_call_arguments.done",
                    "output_index": 0,
                    "arguments": "[]",
                },
                {
                    "type": "response.output_item.done",
                    "output_index": 0,
                    "item": call(arguments="[]"),
                },
            ],
            [ToolCallStart(index=0, id="c1", name="f"), ToolCallDelta(index=0, arguments="[]")],
        ),
        (
            [
                {
                    "type": "response.output_item.done",
                    "output_index": 0,
                    "item": {
                        "type": "message",
                        "role": "assistant",
                        "content": [
                            {"type": "output_text", "text": "x"},
                            {"type": "refusal", "refusal": "no"},
                        ],
                    },
                }
            ],
            [TextDelta(text="x"), RefusalDelta(text="no")],
        ),
        (
            [
                {
                    "type": "response.output_item.done",
                    "output_index": 0,
                    "item": {
                        "type": "reasoning",
                        "summary": [{"type": "summary_text", "text": "t"}],
                    },
                }
            ],
            [ReasoningDelta(text="t")],
        ),
        (
            [
                {"type": "response.reasoning_text.delta", "output_index": 0, "delta": "t"},
                {"type": "response.reasoning_summary_part.added", "summary_index": 0},
                {"type": "response.reasoning_summary_part.added", "summary_index": 1},
            ],
            [ReasoningDelta(text="t"), ReasoningDelta(text="\n\n")],
        ),
        (
            [
                {
                    "type": "response.output_item.added",
                    "output_index": 0,
                    "item": {"type": "web_search_call", "id": "ws_1"},
                }
            ],
            [ReasoningDelta(redacted="web_search_call")],
        ),
        ([{"type": "response.refusal.delta", "delta": "no"}], [RefusalDelta(text="no")]),
        ([{"type": "response.output_text.delta", "delta": ""}], []),
        ([{"type": "response.novelty", "delta": {"x": 1}}], []),
        ([{"type": "keepalive"}], []),
        ([{"type": "response.function_call_arguments.delta", "item_id": "?", "delta": "x"}], []),
    ],
)
def test_corners(events: list[Json], deltas: list[Delta]) -> None:
    """What no delta says comes from the item that is done, once; unknown events say nothing."""
    assert feed(*events) == deltas


ERROR = {"type": "server_error", "code": "server_is_overloaded", "message": "too much"}


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"type": "error", "code": "server_error", "message": "too much"}, "server_error"),
        ({"type": "error", "error": ERROR}, "server_error"),
        ({"type": "response.failed", "response": {"error": ERROR}}, "server_error"),
        ({"error": ERROR}, "server_error"),
        ({"type": "response.failed", "response": {"error": {"message": "too much"}}}, None),
    ],
)
def test_errors(event: Json, kind: str | None) -> None:
    """An error is seen in each of its shapes, with its own data for the verdict."""
    data = json.dumps(event).encode()
    assert feed(event) == [ErrorSeen(message="too much", error_type=kind, data=data)]


def test_an_error_is_not_lost_to_a_parse_error() -> None:
    """An error event with anything in it is an error."""
    for data in (b"oh", b"{", b'{"type":"error","error":5}'):
        (seen,) = CODEC.stream_parser().feed(SseEvent(b"", "error", data))
        assert isinstance(seen, ErrorSeen)


@pytest.mark.parametrize(
    "data", [b"{", b'{"type":"response.completed"}', b'{"type":"response.output_item.added"}']
)
def test_malformed(data: bytes) -> None:
    """What is not the format's event is refused."""
    with pytest.raises(WireError):
        CODEC.stream_parser().feed(SseEvent(b"", None, data))


def test_only_the_last_event_completes() -> None:
    """A stream without it was cut off, whatever was done; others' marker says nothing."""
    parser = CODEC.stream_parser()
    done = {"type": "response.output_text.done", "text": "x"}
    for data in (json.dumps(done).encode(), b"[DONE]"):
        assert parser.feed(SseEvent(b"", None, data)) == ()
        assert not parser.is_complete()


# --- writing -------------------------------------------------------------------------------------

WORDS = st.text(min_size=1, max_size=5)
CONTENT = st.one_of(
    st.builds(TextDelta, text=WORDS),
    st.builds(RefusalDelta, text=WORDS),
    st.builds(ReasoningDelta, text=WORDS, signature=st.none() | WORDS),
    st.builds(ReasoningDelta, redacted=WORDS),
    st.builds(ToolCallDelta, index=st.integers(0, 2), arguments=WORDS),
)
STREAMS = st.lists(CONTENT, max_size=12).map(
    lambda content: [
        *(Started(id="chatcmpl-1", model="m", created=5),),
        *(ToolCallStart(index=index, id=f"c{index}", name="f") for index in range(2)),
        *content[:6],
        *(ToolCallStart(index=2, id="c2", name="g"),),
        *content[6:],
        *(UsageSeen(usage=Usage(input_tokens=3, output_tokens=2)), Finished(finish=Finish.STOP)),
    ]
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(deltas=STREAMS)
def test_the_script_is_kept(deltas: list[Delta]) -> None:
    """Events are numbered; an item is added, filled and done in its place; the end repeats all."""
    stream = render(*deltas)
    events = events_of(stream)
    for event in events:
        EVENT.validate_json(json.dumps(event).encode(), strict=True)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    open_items: dict[int, str] = {}
    done: dict[int, Json] = {}
    for event in events[2:-1]:
        place = event["output_index"]
        if event["type"] == "response.output_item.added":
            assert place == len(open_items) + len(done)
            open_items[place] = event["item"]["id"]
            continue
        item_id = event["item"]["id"] if "item" in event else event["item_id"]
        assert open_items[place] == item_id
        if event["type"] == "response.output_item.done":
            done[place] = event["item"]
            del open_items[place]
    assert open_items == {}
    assert events[-1]["response"]["output"] == [done[place] for place in sorted(done)]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(deltas=STREAMS)
def test_there_and_back(deltas: list[Delta]) -> None:
    """What a stream says is read back: words, thoughts with their seals, calls, finish, usage."""
    parser = CODEC.stream_parser()
    events = SseParser().feed(render(*deltas))
    got = [delta for event in events for delta in parser.feed(event)]
    assert parser.is_complete()

    def joined(side: list[Delta], kind: type[Any]) -> str:
        return "".join(delta.text for delta in side if isinstance(delta, kind))

    def seals(side: list[Delta]) -> list[object]:
        thoughts = [delta for delta in side if isinstance(delta, ReasoningDelta)]
        return [d.signature or d.redacted for d in thoughts if d.signature or d.redacted]

    for kind in (TextDelta, RefusalDelta, ReasoningDelta):
        assert joined(got, kind) == joined(deltas, kind)
    assert seals(got) == seals(deltas)
    known = [d for d in deltas if not (isinstance(d, ToolCallDelta) and _is_early(d, deltas))]
    assert _calls(got) == [(i, name, text or "{}") for i, name, text in _calls(known)]
    (finished,) = [delta for delta in got if isinstance(delta, Finished)]
    assert finished.finish is Finish.TOOL_CALLS
    (usage,) = [delta.usage for delta in got if isinstance(delta, UsageSeen)]
    assert usage == Usage(input_tokens=3, output_tokens=2)


def _is_early(delta: ToolCallDelta, deltas: list[Delta]) -> bool:
    """Return whether arguments come before their call began, which nobody can place."""
    before = deltas[: next(at for at, one in enumerate(deltas) if one is delta)]
    begun = [one.index for one in before if isinstance(one, ToolCallStart)]
    return delta.index not in begun


def test_finishes() -> None:
    """A cut answer is incomplete and says why; usage that comes late is in the last event."""
    usage = UsageSeen(usage=Usage(output_tokens=7))
    for finish, reason in (
        (Finish.LENGTH, "max_output_tokens"),
        (Finish.CONTENT_FILTER, "content_filter"),
    ):
        last = events_of(render(TextDelta(text="x"), Finished(finish=finish), usage))[-1]
        assert last["type"] == "response.incomplete"
        assert last["response"]["incomplete_details"] == {"reason": reason}
        assert last["response"]["usage"]["output_tokens"] == 7


def test_a_stream_of_nothing() -> None:
    """Even an answer without a word begins and ends."""
    kinds = [event["type"] for event in events_of(render())]
    assert kinds == ["response.created", "response.in_progress", "response.completed"]


def test_a_broken_stream_says_so() -> None:
    """The error event is the format's own, and holds what makes SDKs raise."""
    raw = CODEC.render_stream_error(code="upstream_interrupted", message="oh", details={"x": 1})
    assert raw.startswith(b"event: error\n")
    (event,) = events_of(raw)
    EVENT.validate_json(json.dumps(event).encode(), strict=True)
    assert (event["type"], event["code"], event["message"]) == (
        "error",
        "upstream_interrupted",
        "oh",
    )
    assert event["error"]["sidecar"] == {"x": 1}
