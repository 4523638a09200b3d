"""Gemini's embeddings: recorded traffic, both methods, and the way to OpenAI's format and back."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain import Usage
from sidecar.errors import WireError
from sidecar.wire.gemini_embeddings import GeminiEmbeddingsCodec
from sidecar.wire.neutral import Completion, Finish
from sidecar.wire.openai_embeddings import OpenAIEmbeddingsCodec
from sidecar.wire.vectors import Embedding, Vector, numbers_of

CODEC = GeminiEmbeddingsCodec()
OPENAI = OpenAIEmbeddingsCodec()
RECORDED = Path(__file__).parent / "recorded" / "embeddings"


def recorded() -> list[Any]:
    """Return the recorded batches."""
    return [
        pytest.param(
            one["request"]["body_text"].encode(),
            one["response"]["body_text"].encode(),
            id=path.stem,
        )
        for path in sorted(RECORDED.glob("gemini*.json"))
        for one in json.loads(path.read_text())["interactions"]
    ]


def one(text: str = "a", **fields: object) -> dict[str, object]:
    """Return what is asked for one vector."""
    return {"content": {"parts": [{"text": text}]}, **fields}


def body(given: object) -> bytes:
    """Return JSON."""
    return json.dumps(given).encode()


@pytest.mark.parametrize(("asked", "answered"), recorded())
def test_recorded_traffic(asked: bytes, answered: bytes) -> None:
    """A vector for each request, and the tokens read."""
    facts = CODEC.inspect_request(asked)
    completion = CODEC.parse_response(answered, request=asked)
    assert len(completion.vectors) == facts.inputs_count == 1
    assert completion.usage is not None
    assert completion.usage.input_tokens in {8, 261}
    assert all(map(math.isfinite, numbers_of(completion)[0]))
    has_image = b"inline_data" in asked
    assert facts.untranslatable == (("content.parts",) if has_image else ())
    assert (facts.prompt_tokens > 800) is has_image


@pytest.mark.parametrize(("asked", "_"), recorded())
def test_renaming_touches_the_name_alone(asked: bytes, _: bytes) -> None:
    """A batch goes on as it came, but for the model in each of its requests."""
    expected = asked.replace(b'"models/gemini-embedding-2"', b'"models/other"')
    assert CODEC.rewrite_request(asked, model="other") == expected
    assert CODEC.path_for("gemini-embedding-2", asked) == (
        "/models/gemini-embedding-2:batchEmbedContents"
    )


def test_renaming_keeps_every_other_byte() -> None:
    """Spaces, order and unknown members stay, in a batch and in a single request."""
    batch = b' {"x": {}, "requests" : [ {"model":"models/a", "q": 1} ,\n{"model": "models/a"} ] } '
    assert CODEC.rewrite_request(batch, model="b") == batch.replace(b"models/a", b"models/b")
    single = b'{ "model" : "models/a",  "content": {"parts": []}}'
    assert CODEC.rewrite_request(single, model="b") == single.replace(b"models/a", b"models/b")
    nameless = b'{ "content": {"parts": []}}'
    assert CODEC.rewrite_request(nameless, model="b") == nameless
    assert CODEC.path_for("tuned/b", nameless) == "/models/tuned%2Fb:embedContent"


def test_the_whole_request_in_neutral_form() -> None:
    """Both methods; what has no place in the neutral form is named once."""
    single = body(one("a", model="models/m", outputDimensionality=5, taskType="X", title="t"))
    assert CODEC.parse_request(single) == Embedding(
        texts=("a",), dimensions=5, is_single=True, dropped=("taskType", "title")
    )
    batch = body({"requests": [one("a", taskType="X"), one("b", taskType="Y")]})
    assert CODEC.parse_request(batch) == Embedding(texts=("a", "b"), dropped=("taskType",))
    assert CODEC.inspect_request(batch).inputs_count == 2


@pytest.mark.parametrize(
    ("given", "untranslatable"),
    [
        (one(), ()),
        ({"content": {"parts": [{"text": "a"}, {"text": "b"}]}}, ("content.parts",)),
        ({"content": {"parts": []}}, ("content.parts",)),
        ({"content": {"parts": [{"inlineData": {}}]}}, ("content.parts",)),
        (
            {"requests": [one(outputDimensionality=1), one(outputDimensionality=2)]},
            ("outputDimensionality",),
        ),
    ],
)
def test_what_only_gemini_can_answer(given: object, untranslatable: tuple[str, ...]) -> None:
    """Parts that are no text, several or none, and sizes that differ have no other format."""
    assert CODEC.inspect_request(body(given)).untranslatable == untranslatable


@pytest.mark.parametrize(
    "given", [[], {}, {"requests": []}, {"requests": [{}]}, {"content": "a"}, {"requests": "a"}]
)
def test_what_is_no_request_is_refused(given: object) -> None:
    """An error of the wire, not of ours."""
    with pytest.raises(WireError):
        CODEC.inspect_request(body(given))


def test_empty_content_cannot_be_translated() -> None:
    """There is no text to ask for."""
    with pytest.raises(WireError):
        CODEC.parse_request(body({"content": {"parts": []}}))
    with pytest.raises(WireError):
        CODEC.render_request(Embedding(texts=()), model="m")


@given(st.lists(st.text(), min_size=1), st.none() | st.integers(1, 4096), st.booleans())
def test_from_openai_and_back(texts: list[str], dimensions: int | None, is_packed: bool) -> None:
    """Texts and size survive the way through the other format, for either encoding."""
    asked: dict[str, object] = {"model": "m", "input": texts}
    if dimensions is not None:
        asked["dimensions"] = dimensions
    if is_packed:
        asked["encoding_format"] = "base64"
    embedding = OPENAI.parse_request(body(asked))
    sent = CODEC.render_request(embedding, model="g").body
    assert CODEC.inspect_request(sent).inputs_count == len(texts)
    back = CODEC.parse_request(sent)
    assert (back.texts, back.dimensions) == (tuple(texts), dimensions)
    assert {one["model"] for one in json.loads(sent)["requests"]} == {"models/g"}
    again = OPENAI.parse_request(OPENAI.render_request(back, model="m").body)
    assert (again.texts, again.dimensions) == (tuple(texts), dimensions)


@given(
    st.lists(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1).map(tuple),
        min_size=1,
    ),
    st.booleans(),
)
def test_vectors_survive_translation(vectors: list[tuple[float, ...]], is_packed: bool) -> None:
    """Gemini's numbers reach a caller of OpenAI's format exactly, and the other way round."""
    theirs = body({"embeddings": [{"values": one} for one in vectors]})
    completion = CODEC.parse_response(theirs, request=b"")
    embedding = Embedding(texts=("a",) * len(vectors), is_packed=is_packed)
    said = OPENAI.render_response(completion, embedding)
    asked = body({"model": "m", "input": "a", "encoding_format": "base64" if is_packed else None})
    read = OPENAI.parse_response(said, request=asked)
    assert numbers_of(read) == tuple(vectors)
    batch = CODEC.render_response(read, Embedding(texts=embedding.texts))
    assert numbers_of(CODEC.parse_response(batch, request=b"")) == tuple(vectors)


def test_a_single_answer() -> None:
    """Who asked for one vector gets one, and not a list of one."""
    answer = b'{"embedding": {"values": [1, NaN]}}'
    (vector,) = CODEC.parse_response(answer, request=b"").vectors
    assert vector.numbers is not None
    assert math.isnan(vector.numbers[1])
    completion = Completion(
        id="", model="", parts=(), finish=Finish.STOP, vectors=(Vector(numbers=(1.0,)),)
    )
    said = CODEC.render_response(completion, Embedding(texts=("a",), is_single=True))
    assert json.loads(said) == {"embedding": {"values": [1.0]}}


def test_an_answer_without_vectors_is_none() -> None:
    """An error object in a 200 is not an answer; its text is found."""
    said = b'{"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}'
    with pytest.raises(WireError):
        CODEC.parse_response(said, request=b"")
    assert CODEC.error_text(said) == "slow down"


def test_usage_is_read_where_it_is_given() -> None:
    """Older models count nothing."""
    with_usage = b'{"embeddings": [], "usageMetadata": {"promptTokenCount": 3}}'
    assert CODEC.parse_response(with_usage, request=b"").usage == Usage(input_tokens=3)
    assert CODEC.parse_response(b'{"embeddings": []}', request=b"").usage is None


def test_errors_are_googles() -> None:
    """Google's SDKs read code, message and status."""
    said = json.loads(CODEC.render_error(status=503, code="c", message="m", details={"d": 1}))
    assert (said["error"]["code"], said["error"]["status"]) == (503, "UNAVAILABLE")
    assert said["error"]["details"][0]["sidecar"] == {"d": 1}
    other = json.loads(CODEC.render_error(status=500, code="c", message="m", details={}))
    assert other["error"]["status"] == "INTERNAL"
