"""OpenAI Responses requests: recorded ones, what only this format can say, and the corners."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.errors import WireError
from sidecar.wire.neutral import (
    Conversation,
    ImagePart,
    OutputFormat,
    OutputMode,
    ReasoningPart,
    RefusalPart,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolChoiceMode,
    ToolResultPart,
    Turn,
)
from sidecar.wire.openai_responses import OpenAIResponsesCodec
from sidecar.wire.responses_items import REDACTED_SEAL, SIGNATURE_SEAL
from sidecar.wire.splice import read_members

CODEC = OpenAIResponsesCodec()
RECORDED = Path(__file__).parent / "recorded" / "responses"
Json = dict[str, Any]


def recorded_requests() -> list[Any]:
    """Return every recorded request with its name."""
    return [
        pytest.param(entry["request"]["body_text"].encode(), id=f"{path.stem[:60]}-{position}")
        for path in sorted(RECORDED.glob("*.json"))
        for position, entry in enumerate(json.loads(path.read_text())["interactions"])
        if entry["api"].startswith("responses") and entry["request"].get("body_text")
    ]


def request(**members: Any) -> bytes:
    """Return a request that is good but for ``members``."""
    return json.dumps({"model": "m", "input": "hi"} | members).encode()


def untranslatable(**members: Any) -> tuple[str, ...]:
    """Return what only this format can answer of a request."""
    return CODEC.inspect_request(request(**members)).untranslatable


# --- the same format -----------------------------------------------------------------------------


@pytest.mark.parametrize("body", recorded_requests())
def test_renaming_leaves_every_other_byte(body: bytes) -> None:
    """A recorded request for another model differs in the model and nothing else."""
    changed = CODEC.rewrite_request(body, model="other")
    before, after = read_members(body), read_members(changed)
    assert after == before | {"model": b'"other"'}
    assert CODEC.rewrite_request(changed, model=json.loads(before["model"])) == body


@pytest.mark.parametrize("body", recorded_requests())
def test_facts_of_recorded_requests(body: bytes) -> None:
    """The glance sees what plain JSON reading sees, and a prompt of plausible size."""
    facts, read = CODEC.inspect_request(body), json.loads(body)
    assert facts.model == read["model"]
    assert facts.is_stream == bool(read.get("stream"))
    assert facts.max_tokens == read.get("max_output_tokens")
    assert facts.has_tools == bool(read.get("tools"))
    assert facts.has_images == ('"input_image"' in json.dumps(read["input"]))
    images = json.dumps(read["input"]).count('"input_image"')
    assert 1 <= facts.prompt_tokens <= len(body) / 3.6 + 800 * images + 1
    named = [("$.previous_response_id", read.get("previous_response_id"))]
    assert facts.references == tuple((path, name) for path, name in named if name)


def test_rewrite_with_prompt_and_bound() -> None:
    """A route's prompt replaces all system text, a bound the caller's; the rest stays."""
    kept = '{"role": "user", "content": "h\\u0069"}'
    body = (
        '{"model": "a", "instructions": "old", "max_output_tokens": 9, "input": [{"role": "system",'
        f' "content": "s"}}, {kept}, {{"role": "developer", "content": "d"}}], "x": 1.50}}'
    ).encode()
    changed = CODEC.rewrite_request(body, model="b", system="new", max_tokens=("max_tokens", 5))
    read = json.loads(changed)
    assert (read["model"], read["instructions"], read["max_output_tokens"]) == ("b", "new", 5)
    assert "max_tokens" not in read
    assert [item["role"] for item in read["input"]] == ["user"]
    assert kept.encode() in changed
    assert b'"x": 1.50' in changed
    text = CODEC.rewrite_request(request(), model="b", system="new")
    assert json.loads(text) == {"model": "b", "input": "hi", "instructions": "new"}


def test_foreign_thinking_is_not_sent_to_openai() -> None:
    """Reasoning behind our seal is cut out, OpenAI's own goes on as it came; words stay words."""
    items: list[Json] = [
        {"role": "user", "content": f"what is {SIGNATURE_SEAL}?"},
        {"type": "reasoning", "summary": [], "encrypted_content": SIGNATURE_SEAL + "x"},
        {"type": "reasoning", "summary": [], "encrypted_content": REDACTED_SEAL + "x"},
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"},
    ]
    read = json.loads(CODEC.rewrite_request(request(input=items), model="m"))
    assert read["input"] == [items[0], items[3]]
    words = request(input=f"what is {SIGNATURE_SEAL}?")
    assert CODEC.rewrite_request(words, model="m") == words


# --- what only this format can say ---------------------------------------------------------------

MESSAGE: Json = {"role": "user", "content": "hi"}


def part(**members: Any) -> list[Json]:
    """Return an input with one part beside text."""
    return [{"role": "user", "content": [{"type": "input_text", "text": "x"}, members]}]


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ({"store": True}, "store"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"top_logprobs": 3}, "logprobs"),
        ({"include": ["message.output_text.logprobs"]}, "logprobs"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [{"type": "custom", "name": "x"}]}, "tools"),
        ({"tool_choice": {"type": "web_search_preview"}}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "tools": []}}, "tool_choice"),
        ({"input": [MESSAGE, {"type": "item_reference", "id": "msg_1"}]}, "item_reference"),
        ({"input": [MESSAGE, {"id": "msg_1"}]}, "item_reference"),
        ({"input": [{"type": "web_search_call", "id": "ws_1"}]}, "web_search_call"),
        ({"input": part(type="input_file", file_id="file_1")}, "input_file"),
        ({"input": part(type="input_audio")}, "input_audio"),
        ({"input": part(type="input_image", file_id="file_1")}, "input_image.file_id"),
        (
            {
                "input": [
                    {
                        "type": "function_call_output",
                        "call_id": "c",
                        "output": [{"type": "input_file", "file_id": "f"}],
                    }
                ]
            },
            "input_file",
        ),
    ],
    ids=str,
)
def test_untranslatable(members: Json, name: str) -> None:
    """What another format could only lose is named, so that nobody else is asked."""
    assert untranslatable(**members) == (name,)


@pytest.mark.parametrize(
    "members",
    [
        {"store": False, "background": False, "conversation": None, "prompt": None},
        {"tool_choice": "required", "tools": [{"type": "function", "name": "f"}]},
        {"tool_choice": {"type": "function", "name": "f"}},
        {"include": ["reasoning.encrypted_content"], "truncation": "auto"},
        {"input": part(type="input_image", image_url="https://x/y.png")},
        {"input": [{"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}, MESSAGE]},
    ],
    ids=str,
)
def test_translatable(members: Json) -> None:
    """What others can do, or lose without harm, binds nobody to this format."""
    assert untranslatable(**members) == ()


def test_references_are_named_with_their_place() -> None:
    """Each thing that a provider keeps is named, in order, with its path."""
    items = [MESSAGE, {"type": "item_reference", "id": "msg_1"}, {"id": "rs_1"}]
    body = request(input=items, previous_response_id="resp_1", conversation={"id": "conv_1"})
    assert CODEC.inspect_request(body).references == (
        ("$.previous_response_id", "resp_1"),
        ("$.conversation", "conv_1"),
        ("$.input[1].id", "msg_1"),
        ("$.input[2].id", "rs_1"),
    )


def test_what_is_kept_needs_no_input() -> None:
    """A stored prompt or conversation may be all there is to answer."""
    for members in ({"prompt": {"id": "p"}}, {"conversation": "c"}, {"previous_response_id": "r"}):
        body = json.dumps({"model": "m", **members}).encode()
        assert CODEC.inspect_request(body).model == "m"


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"[]", "$"),
        (b"{", "$"),
        (b'{"model":"m","input":"\xff"}', "$"),
        (request(model=""), "$.model"),
        (request(model=None), "$.model"),
        (request(input=""), "$.input"),
        (request(input=[]), "$.input"),
        (request(input=7), "$.input"),
        (request(input=[{"role": 1}]), "$.input[0].role"),
        (request(stream="yes"), "$.stream"),
        (request(max_output_tokens="1"), "$.max_output_tokens"),
        (request(tools={}), "$.tools"),
    ],
)
def test_wrong_types_say_where(body: bytes, path: str) -> None:
    """A broken request is refused by the glance and by the whole reading, with its path."""
    for read in (CODEC.inspect_request, CODEC.parse_request):
        with pytest.raises(WireError) as caught:
            read(body)
        assert caught.value.path == path


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (request(input=[{"role": "robot", "content": "x"}]), "$.input[0].role"),
        (request(input=[{"role": "user", "content": 5}]), "$.input[0].content"),
        (request(input=[{"type": "function_call_output", "output": "x"}]), "$.input[0].call_id"),
        (request(input=[{"type": "function_call", "name": 5}]), "$.input[0].name"),
        (request(tools=[{"type": "function"}]), "$.tools[0].name"),
        (request(tool_choice="maybe"), "$.tool_choice"),
    ],
)
def test_values_without_meaning_say_where(body: bytes, path: str) -> None:
    """What has the right type but no meaning is refused with its path."""
    with pytest.raises(WireError) as caught:
        CODEC.parse_request(body)
    assert caught.value.path == path


def test_background_is_refused() -> None:
    """An answer that has to be fetched later could not be fetched here."""
    with pytest.raises(WireError) as caught:
        CODEC.inspect_request(request(background=True))
    assert caught.value.path == "$.background"


# --- losses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "dropped"),
    [
        ({"metadata": {"a": "b"}}, ("metadata",)),
        ({"truncation": "auto"}, ("truncation",)),
        ({"unheard_of": 1}, ("unheard_of",)),
        ({"include": [], "metadata": {}, "service_tier": "auto", "top_logprobs": 0}, ()),
        ({"reasoning": {"effort": "minimal", "summary": "auto"}}, ("reasoning.summary", "effort")),
        ({"text": {"verbosity": "low"}}, ("text.verbosity",)),
        ({"text": {"format": {"type": "grammar"}}}, ("text.format",)),
        ({"tools": [{"type": "web_search"}]}, ("tools.web_search",)),
        (
            {"input": [MESSAGE, {"type": "reasoning", "encrypted_content": "gAAAA"}]},
            ("input.reasoning.encrypted_content",),
        ),
        (
            {"input": part(type="input_image", image_url="https://x", detail="high")},
            ("input.input_image.detail",),
        ),
        (
            {"input": part(type="output_text", text="x", annotations=[{"type": "url_citation"}])},
            ("input.annotations",),
        ),
    ],
    ids=str,
)
def test_losses_are_named(members: Json, dropped: tuple[str, ...]) -> None:
    """Every wish that finds no place in the neutral form is named, and only those."""
    named = tuple("reasoning_effort" if name == "effort" else name for name in dropped)
    assert CODEC.parse_request(request(**members)).dropped == named


def test_render_reports_what_it_cannot_say() -> None:
    """Stops, foreign sampling, thinking and a failed tool are named; a penalty of 0 is not."""
    failed = ToolResultPart(call_id="c", content=(TextPart(text="x"),), is_error=True)
    conversation = Conversation(
        system=(),
        turns=(
            Turn(role=Role.ASSISTANT, parts=(ReasoningPart(text="r", signature="s"),)),
            Turn(role=Role.USER, parts=(failed,)),
        ),
        stop=("x",),
        max_tokens=3,
        sampling=Sampling(top_k=1, seed=0, frequency_penalty=0.0, presence_penalty=1.0),
        reasoning_tokens=1024,
        dropped=("n",),
    )
    rendered = CODEC.render_request(
        conversation, model="m", is_stream=False, max_tokens_field="max_tokens"
    )
    assert set(rendered.dropped) == {
        *("n", "messages.reasoning", "messages.tool_result.is_error", "top_k", "seed"),
        *("presence_penalty", "max_tokens", "stop", "thinking.budget_tokens"),
    }
    assert json.loads(rendered.body) == {
        "model": "m",
        "input": [{"type": "function_call_output", "call_id": "c", "output": "x"}],
        "store": False,
        "max_output_tokens": 16,
    }


# --- there and back ------------------------------------------------------------------------------

WORDS = st.text(min_size=1, max_size=12)
TEXT = st.builds(TextPart, text=WORDS)
IMAGE = st.one_of(
    st.builds(ImagePart, url=st.just("https://x/y.png")),
    st.builds(ImagePart, media_type=st.just("image/png"), data=st.just("AAAA")),
)
CALL = st.builds(ToolCallPart, id=WORDS, name=WORDS, arguments=st.just('{"é": [1.50]}'))
RESULT = st.builds(
    ToolResultPart,
    call_id=WORDS,
    content=st.one_of(
        st.lists(TEXT, max_size=1), st.tuples(TEXT, IMAGE), st.tuples(IMAGE, TEXT, TEXT)
    ).map(tuple),
)
REFUSAL = st.builds(RefusalPart, text=WORDS)


def turns_of(*sides: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Turn, ...]]:
    """Return turns, the user's and the assistant's by turns; results are turns of their own."""
    said, spoken, results = (st.lists(side, min_size=1, max_size=3).map(tuple) for side in sides)
    user = st.builds(Turn, role=st.just(Role.USER), parts=st.one_of(said, results))
    assistant = st.builds(Turn, role=st.just(Role.ASSISTANT), parts=spoken)
    pairs = st.lists(st.tuples(user, assistant), min_size=1, max_size=3)
    return pairs.map(lambda found: tuple(turn for pair in found for turn in pair))


CONVERSATIONS = st.builds(
    Conversation,
    system=st.lists(WORDS, max_size=3).map(tuple),
    turns=turns_of(st.one_of(TEXT, IMAGE), st.one_of(TEXT, REFUSAL, CALL), RESULT),
    tools=st.lists(
        st.builds(
            Tool,
            name=WORDS,
            description=st.none() | WORDS,
            schema=st.just(b'{"type": "object"}'),
            is_strict=st.booleans(),
        ),
        min_size=1,
        max_size=2,
    ).map(tuple),
    tool_choice=st.none()
    | st.builds(ToolChoice, mode=st.sampled_from([ToolChoiceMode.AUTO, ToolChoiceMode.REQUIRED]))
    | st.builds(
        ToolChoice, mode=st.just(ToolChoiceMode.NAMED), name=WORDS, is_parallel=st.booleans()
    ),
    max_tokens=st.none() | st.integers(16, 9999),
    sampling=st.builds(Sampling, temperature=st.none() | st.floats(0, 2), top_p=st.just(0.5)),
    output=st.one_of(
        st.just(OutputFormat()),
        st.just(OutputFormat(mode=OutputMode.JSON_OBJECT)),
        st.builds(
            OutputFormat,
            mode=st.just(OutputMode.JSON_SCHEMA),
            name=WORDS,
            schema=st.just(b'{"type":"object"}'),
            is_strict=st.none() | st.booleans(),
        ),
    ),
    reasoning_effort=st.sampled_from([None, "low", "medium", "high"]),
    user_id=st.none() | WORDS,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(conversation=CONVERSATIONS)
def test_there_and_back(conversation: Conversation) -> None:
    """A conversation that this format can say is read back as it was, and nothing is dropped."""
    rendered = CODEC.render_request(conversation, model="m", is_stream=True, max_tokens_field="x")
    assert rendered.dropped == ()
    assert CODEC.parse_request(rendered.body) == conversation
    facts = CODEC.inspect_request(rendered.body)
    assert (facts.untranslatable, facts.references, facts.is_stream) == ((), (), True)
