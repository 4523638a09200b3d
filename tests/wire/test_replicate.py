"""Replicate's predictions: what a conversation becomes, recorded answers, streams cut anywhere."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain import Usage, WireFormat
from sidecar.errors import WireError
from sidecar.wire.formats import CODECS, provider_codec
from sidecar.wire.neutral import (
    Completion,
    Conversation,
    Delta,
    Ended,
    ErrorSeen,
    Finish,
    Finished,
    ImagePart,
    OutputFormat,
    OutputMode,
    ReasoningPart,
    Role,
    Sampling,
    Started,
    TextDelta,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
    Turn,
)
from sidecar.wire.replicate import as_events, read_prediction

CODEC = provider_codec(WireFormat.REPLICATE)
RECORDED = Path(__file__).parent / "recorded" / "replicate"
USER = Turn(role=Role.USER, parts=(TextPart(text="Hi"),))
STREAM = (
    b"event: output\nid: 1:0\ndata: Once \xc3\xa9\n\n"
    b": hi\n\nevent: logs\nid: 1:1\ndata: 50%\n\n"
    b"event: output\nid: 1:2\ndata:  upon\ndata: \n\n"
    b"event: output\nid: 1:3\ndata: \n\n"
    b"event: done\nid: 1:4\ndata: {}\n\n"
)
DELTAS: list[Delta] = [
    Started(id="", model=""),
    TextDelta(text="Once é"),
    TextDelta(text=" upon\n"),
    Finished(finish=Finish.STOP),
    Ended(),
]


def render(conversation: Conversation, *, is_stream: bool = False) -> tuple[Any, tuple[str, ...]]:
    """Return the request as decoded JSON, and what was dropped."""
    rendered = CODEC.render_request(
        conversation, model="meta/llama", is_stream=is_stream, max_tokens_field="max_tokens"
    )
    return json.loads(rendered.body), rendered.dropped


def read(*chunks: bytes) -> tuple[list[Delta], bool]:
    """Return all deltas of a stream, and whether it is complete."""
    framer, parser = CODEC.framer(), CODEC.stream_parser()
    events = [event for chunk in chunks for event in framer.feed(chunk)] + framer.end()
    return [delta for event in events for delta in parser.feed(event)], parser.is_complete()


@pytest.mark.parametrize(
    ("model", "path", "version"),
    [
        ("meta/llama-3", "/v1/models/meta/llama-3/predictions", None),
        ("some/model:abc", "/v1/predictions", "abc"),
    ],
)
def test_official_models_and_versions(model: str, path: str, version: str | None) -> None:
    """An official model has a path of its own, a version is named in the body."""
    assert CODEC.path_for(model, is_stream=True) == path
    rendered = CODEC.render_request(
        Conversation(system=(), turns=(USER,)), model=model, is_stream=False, max_tokens_field="m"
    )
    assert json.loads(rendered.body).get("version") == version
    assert WireFormat.REPLICATE not in CODECS


def test_a_whole_request() -> None:
    """Every wish that language models there share becomes an input."""
    conversation = Conversation(
        system=("Be", "brief."),
        turns=(USER,),
        max_tokens=20,
        stop=("END", "a,b"),
        sampling=Sampling(temperature=0.5, top_p=0.9, top_k=40, seed=0, presence_penalty=0.1),
    )
    body, dropped = render(conversation, is_stream=True)
    assert body == {
        "stream": True,
        "input": {
            "prompt": "Hi",
            "system_prompt": "Be\n\nbrief.",
            "max_tokens": 20,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 40,
            "seed": 0,
            "presence_penalty": 0.1,
            "stop_sequences": "END",
        },
    }
    assert dropped == ("stop",)


def test_a_transcript() -> None:
    """Turns are told by who spoke; what is no text is told as text or named as lost."""
    conversation = Conversation(
        system=(),
        turns=(
            USER,
            Turn(
                role=Role.ASSISTANT,
                parts=(
                    ReasoningPart(text="hm"),
                    TextPart(text="Hello"),
                    ToolCallPart(id="c", name="f", arguments="{}"),
                ),
            ),
            Turn(
                role=Role.USER,
                parts=(
                    ToolResultPart(call_id="c", content=(TextPart(text="15"),)),
                    ImagePart(url="http://i"),
                    TextPart(text="And?"),
                ),
            ),
        ),
        tools=(Tool(name="f"),),
        output=OutputFormat(mode=OutputMode.JSON_OBJECT),
        user_id="u",
    )
    body, dropped = render(conversation)
    assert body == {
        "input": {"prompt": "User: Hi\n\nAssistant: Hello\n\nUser: 15\nAnd?\n\nAssistant:"}
    }
    assert set(dropped) == {
        *("tools", "response_format", "user", "messages.reasoning", "messages.tool_calls"),
        *("messages.tool_result", "messages.image_url"),
    }


def test_a_transcript_that_the_model_continues() -> None:
    """After words of the assistant's own the transcript ends with them."""
    turns = (USER, Turn(role=Role.ASSISTANT, parts=(TextPart(text="It is"),)))
    body, _ = render(Conversation(system=(), turns=turns))
    assert body["input"]["prompt"] == "User: Hi\n\nAssistant: It is"


# --- answers -----------------------------------------------------------------------------------


def test_recorded_predictions() -> None:
    """A recorded prediction is followed from its creation to its end."""
    (path,) = RECORDED.glob("*.json")
    bodies = [
        entry["response"]["body_text"].encode()
        for entry in json.loads(path.read_bytes())["interactions"]
        if "/predictions" in entry["request"]["url"]
    ]
    predictions = [read_prediction(body) for body in bodies]
    assert [one.status for one in predictions] == [
        *("starting", "processing", "processing", "processing", "succeeded")
    ]
    assert [one.is_over() for one in predictions] == [False] * 4 + [True]
    assert predictions[-1].text().startswith("https://replicate.delivery/")
    assert CODEC.parse_response(bodies[0]).finish is None
    assert CODEC.parse_response(bodies[-1]).finish is Finish.STOP


def prediction(**more: object) -> bytes:
    """Return a prediction's body."""
    return json.dumps({"id": "p", "model": "a/b", "status": "succeeded", **more}).encode()


@pytest.mark.parametrize("output", ["ab", ["a", "b"]])
def test_output_in_one_piece_or_many(output: object) -> None:
    """Both forms of output say the same."""
    metrics = {"input_token_count": 3, "output_token_count": 2, "predict_time": 0.1}
    body = prediction(output=output, metrics=metrics)
    assert CODEC.parse_response(body) == Completion(
        id="p",
        model="a/b",
        parts=(TextPart(text="ab"),),
        finish=Finish.STOP,
        usage=Usage(input_tokens=3, output_tokens=2),
    )
    assert CODEC.error_text(body) is None
    assert read(as_events(body)) == (
        [Started(id="", model=""), TextDelta(text="ab"), Finished(finish=Finish.STOP), Ended()],
        True,
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"status": "failed", "error": "CUDA out of memory"}, "CUDA out of memory"),
        ({"status": "canceled"}, "the prediction was canceled"),
    ],
)
def test_a_failed_prediction_is_no_answer(more: dict[str, object], message: str) -> None:
    """What failed or was cancelled is an error with its own words, in either form."""
    body = prediction(**more)
    with pytest.raises(WireError, match=message):
        CODEC.parse_response(body)
    assert CODEC.error_text(body) == message
    deltas, is_complete = read(as_events(body))
    assert isinstance(deltas[-1], ErrorSeen)
    assert deltas[-1].message == message
    assert not is_complete


def test_error_text() -> None:
    """A refusal has its detail, other bodies have nothing to say."""
    assert CODEC.error_text(b'{"title":"t","detail":"d","status":422}') == "d"
    assert CODEC.error_text(b"<html>") is None


# --- streams -----------------------------------------------------------------------------------


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_stream_in_pieces(cuts: list[int]) -> None:
    """A stream says the same however it is cut."""
    edges = [0, *sorted(cuts), len(STREAM)]
    assert read(*(STREAM[a:b] for a, b in pairwise(edges))) == (DELTAS, True)


def test_stream_cut_short() -> None:
    """Without ``done`` a stream is not complete."""
    assert not read(STREAM[: STREAM.index(b"event: done")])[1]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'event: error\ndata: {"detail":"d"}\n\n', "d"),
        (b"event: error\ndata: E1001: out of memory\n\n", "E1001: out of memory"),
        (b'event: done\ndata: {"reason":"canceled"}\n\n', "the prediction ended: canceled"),
        (b'event: done\ndata: {"reason":"error"}\n\n', "the prediction ended: error"),
    ],
)
def test_errors_in_the_stream(raw: bytes, message: str) -> None:
    """An error, and an end that is none, complete nothing."""
    deltas, is_complete = read(raw)
    error = deltas[-1]
    assert isinstance(error, ErrorSeen)
    assert error.message == message
    assert message in error.data.decode()
    assert not is_complete


@pytest.mark.parametrize("raw", [b"event: done\ndata: {\n\n", b"event: output\ndata: \xff\n\n"])
def test_malformed_events(raw: bytes) -> None:
    """What cannot be read is an error, not skipped."""
    with pytest.raises(WireError):
        read(raw)
