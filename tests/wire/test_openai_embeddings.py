"""OpenAI's embeddings: recorded traffic, and every field by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from sidecar.domain import Usage
from sidecar.errors import WireError
from sidecar.wire.neutral import Completion, Finish
from sidecar.wire.openai_embeddings import OpenAIEmbeddingsCodec
from sidecar.wire.vectors import Embedding, Vector, numbers_of, pack, unpack

CODEC = OpenAIEmbeddingsCodec()
RECORDED = Path(__file__).parent / "recorded" / "embeddings"
ASK = b'{"model": "m", "input": "a"}'
ASK_PACKED = b'{"model": "m", "input": "a", "encoding_format": "base64"}'
MODELS = ("azure", "mistral", "openai", "openrouter")


def recorded(status: int) -> list[Any]:
    """Return the recorded requests and answers with this status."""
    return [
        pytest.param(
            one["request"]["body_text"].encode(),
            one["response"]["body_text"].encode(),
            id=f"{path.stem}-{position}",
        )
        for path in sorted(RECORDED.glob("*.json"))
        for position, one in enumerate(json.loads(path.read_text())["interactions"])
        if one["api"] == "embeddings" and one["response"]["status"] == status
    ]


def request(**fields: object) -> bytes:
    """Return a request for one text with these fields."""
    return json.dumps({"model": "m", "input": "a", **fields}).encode()


def answer(*embeddings: object, **fields: object) -> bytes:
    """Return an answer with these embeddings, indices in order."""
    data = [{"index": index, "embedding": one} for index, one in enumerate(embeddings)]
    return json.dumps({"object": "list", "data": data, **fields}).encode()


@pytest.mark.parametrize(("asked", "answered"), recorded(200))
def test_recorded_answers(asked: bytes, answered: bytes) -> None:
    """Each recorded answer has a vector for each input and says what it read."""
    facts = CODEC.inspect_request(asked)
    completion = CODEC.parse_response(answered, request=asked)
    assert len(completion.vectors) == facts.inputs_count
    assert completion.usage is not None
    assert completion.usage.input_tokens > 0
    assert completion.model != ""
    given = json.loads(answered)["data"]
    for vector, item in zip(completion.vectors, given, strict=True):
        if b"pplx" in asked:  # bytes, though nobody asked for them: not ours to read
            assert vector.numbers is None
        else:
            assert vector.numbers is not None
            assert math.isclose(sum(one * one for one in vector.numbers), 1.0, rel_tol=1e-3)
            assert vector.is_packed == isinstance(item["embedding"], str)


@pytest.mark.parametrize(("asked", "answered"), [*recorded(401), *recorded(404)])
def test_recorded_errors(asked: bytes, answered: bytes) -> None:
    """An error has a message, and is no answer."""
    assert CODEC.error_text(answered)
    with pytest.raises(WireError):
        CODEC.parse_response(answered, request=asked)


@pytest.mark.parametrize(("asked", "_"), [*recorded(200), *recorded(404)])
def test_renaming_touches_the_name_alone(asked: bytes, _: bytes) -> None:
    """The same format goes on as it came, but for the model."""
    name = json.dumps(CODEC.inspect_request(asked).model).encode()
    assert CODEC.rewrite_request(asked, model="other") == asked.replace(name, b'"other"', 1)


@pytest.mark.parametrize(
    ("given", "count", "tokens", "untranslatable"),
    [
        ("abc", 1, 1, ()),
        (["a", "b", "c"], 3, 1, ()),
        ([1, 2, 3], 1, 3, ("input",)),
        ([[1, 2], [3]], 2, 3, ("input",)),
    ],
)
def test_inputs(given: object, count: int, tokens: int, untranslatable: tuple[str, ...]) -> None:
    """Text, texts, tokens and lists of tokens say how many vectors are due."""
    facts = CODEC.inspect_request(request(input=given))
    assert (facts.inputs_count, facts.prompt_tokens) == (count, tokens)
    assert facts.untranslatable == untranslatable
    assert (facts.max_tokens, facts.is_stream) == (0, False)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"[]", "$"),
        (b"{", "$"),
        (b'{"model": "m"}', "$"),
        (b'{"input": "a"}', "$"),
        (request(model=""), "$.model"),
        (request(input=[]), "$.input"),
        (request(input=["a", 1]), "$.input"),
        (request(input=[[1], 1]), "$.input"),
        (request(input={"text": "a"}), "$.input"),
        (b'{"model": "m", "input": "\xff"}', "$"),
    ],
)
def test_what_is_no_request_is_refused(body: bytes, path: str) -> None:
    """The error points at the place."""
    with pytest.raises(WireError) as caught:
        CODEC.inspect_request(body)
    assert caught.value.path == path


def test_a_foreign_encoding_needs_its_own_format() -> None:
    """Only the caller's own format can carry an encoding that nobody else knows."""
    facts = CODEC.inspect_request(request(encoding_format="base64_int8"))
    assert facts.untranslatable == ("encoding_format",)


def test_the_whole_request_in_neutral_form() -> None:
    """Everything finds its place or is named."""
    body = request(
        input=["a", "b"], dimensions=5, encoding_format="base64", user="u", input_type="query"
    )
    assert CODEC.parse_request(body) == Embedding(
        texts=("a", "b"), dimensions=5, is_packed=True, dropped=("user", "input_type")
    )
    assert CODEC.parse_request(request(user=None)) == Embedding(texts=("a",))
    tokens = CODEC.parse_request(request(input=[1, 2]))
    assert tokens.texts == ()
    with pytest.raises(WireError):
        CODEC.render_request(tokens, model="m")


def test_a_request_is_for_plain_numbers() -> None:
    """Of another format's provider numbers are asked, which every server can give."""
    rendered = CODEC.render_request(
        Embedding(texts=("a",), dimensions=5, dropped=("x",)), model="m"
    )
    assert json.loads(rendered.body) == {
        "model": "m",
        "input": ["a"],
        "dimensions": 5,
        "encoding_format": "float",
    }
    assert rendered.dropped == ("x",)
    assert CODEC.path_for("m", rendered.body) == "/embeddings"


def test_order_is_that_of_the_index() -> None:
    """Servers that answer out of order say so in the index."""
    items = [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}]
    body = json.dumps({"data": items}).encode()
    assert numbers_of(CODEC.parse_response(body, request=ASK)) == ((1.0,), (2.0,))
    both_zero = json.dumps({"data": [{"index": 0, "embedding": [2]}] * 2}).encode()
    assert numbers_of(CODEC.parse_response(both_zero, request=ASK)) == ((2.0,), (2.0,))


def test_text_is_base64_only_where_it_was_asked_for() -> None:
    """Bytes that nobody asked for are not taken for floats."""
    packed = pack((1.0, 2.0))
    asked = CODEC.parse_response(answer(packed), request=ASK_PACKED)
    assert asked.vectors == (Vector(numbers=(1.0, 2.0), is_packed=True),)
    unasked = CODEC.parse_response(answer(packed), request=ASK)
    assert unasked.vectors == (Vector(numbers=None, is_packed=True),)


@pytest.mark.parametrize("word", ["NaN", "null", "-Infinity"])
def test_numbers_that_are_none_are_read(word: str) -> None:
    """A broken model's numbers are an answer, which the engine can then refuse as broken."""
    body = b'{"data": [{"embedding": [1.0, %s]}]}' % word.encode()
    (vector,) = CODEC.parse_response(body, request=ASK).vectors
    assert vector.numbers is not None
    assert math.isnan(vector.numbers[1])


def test_an_answer_without_usage_or_names() -> None:
    """What a lean server leaves out is not missed."""
    completion = CODEC.parse_response(answer([1]), request=ASK)
    assert (completion.id, completion.model, completion.usage) == ("", "", None)
    assert completion.finish is Finish.STOP
    lean = CODEC.parse_response(answer([1], usage={"total_tokens": 3}), request=ASK)
    assert lean.usage == Usage(input_tokens=3)
    none = CODEC.parse_response(answer([1], usage={}), request=ASK)
    assert none.usage is None


@pytest.mark.parametrize("is_packed", [True, False])
def test_an_answer_in_the_encoding_that_was_asked_for(is_packed: bool) -> None:
    """Callers get base64 exactly if they asked for it."""
    vectors = (Vector(numbers=(1.0, 0.5)), Vector(numbers=(2.0, 0.25), is_packed=True))
    completion = Completion(
        id="",
        model="m",
        parts=(),
        finish=Finish.STOP,
        vectors=vectors,
        usage=Usage(input_tokens=7),
    )
    said = json.loads(
        CODEC.render_response(completion, Embedding(texts=("a", "b"), is_packed=is_packed))
    )
    embeddings = [item.pop("embedding") for item in said["data"]]
    assert said == {
        "object": "list",
        "model": "m",
        "data": [{"object": "embedding", "index": 0}, {"object": "embedding", "index": 1}],
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    read = [unpack(one) for one in embeddings] if is_packed else [tuple(one) for one in embeddings]
    assert read == [(1.0, 0.5), (2.0, 0.25)]


def test_errors_are_openais() -> None:
    """The SDK raises the type it knows."""
    said = json.loads(CODEC.render_error(status=404, code="c", message="m", details={"d": 1}))
    assert said["error"]["type"] == "not_found_error"
    assert said["error"]["sidecar"] == {"d": 1}
