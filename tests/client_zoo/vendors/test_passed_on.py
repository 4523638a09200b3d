"""The native clients of Ollama and Replicate, passed on to a provider by its name."""

from __future__ import annotations

from typing import Any

import ollama
import pytest
import replicate
import replicate.exceptions
from zoo import KEY, PASSED_ON, URL

pytestmark = PASSED_ON
HELLO: Any = [{"role": "user", "content": "hello"}]
SAID = "rain and wind"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}


@pytest.fixture
def local() -> ollama.Client:
    """Ollama's client at the sidecar."""
    return ollama.Client(host=f"{URL}/ollama")


@pytest.fixture
def poet() -> replicate.Client:
    """Replicate's client at the sidecar."""
    return replicate.Client(api_token=KEY, base_url=f"{URL}/replicate")


def test_ollama_text(local: ollama.Client) -> None:
    """A plain answer has text and token counts."""
    answer = local.chat(model="tiny", messages=HELLO)
    assert answer.message.content == SAID
    assert (answer.prompt_eval_count, answer.eval_count) == (7, 3)


def test_ollama_stream(local: ollama.Client) -> None:
    """A stream of JSON lines comes in pieces."""
    pieces = [
        part.message.content for part in local.chat(model="tiny", messages=HELLO, stream=True)
    ]
    assert pieces == ["rain", " and", " wind", ""]


def test_ollama_tool_loop(local: ollama.Client) -> None:
    """A tool is called, its result goes back, the answer is words."""
    turns: list[Any] = list(HELLO)
    first = local.chat(model="tiny", messages=turns, tools=[TOOL])
    (call,) = first.message.tool_calls
    assert (call.function.name, call.function.arguments) == ("weather", {"city": "Oslo"})
    turns += [first.message, {"role": "tool", "content": "rain", "tool_name": "weather"}]
    assert local.chat(model="tiny", messages=turns, tools=[TOOL]).message.content == SAID


def test_ollama_structured_and_embeddings(local: ollama.Client) -> None:
    """A schema goes along; so do texts to embed."""
    answer = local.chat(model="tiny", messages=HELLO, format=SCHEMA)
    assert answer.message.content == '{"city": "Oslo"}'
    assert local.embed(model="tiny", input=["a", "bb"]).embeddings == [[1.0, 0.5], [2.0, 0.5]]


def test_ollama_error(local: ollama.Client) -> None:
    """The provider's own error arrives as it is."""
    with pytest.raises(ollama.ResponseError, match="'huge' not found") as caught:
        local.chat(model="huge", messages=HELLO)
    assert caught.value.status_code == 404


def test_replicate_waits(poet: replicate.Client) -> None:
    """A prediction that is waited for comes back whole, with the provider's key."""
    assert "".join(poet.run("acme/poet", input={"prompt": "hello"})) == SAID


def test_replicate_polls(poet: replicate.Client) -> None:
    """A prediction that is only begun is asked for again, at the sidecar too."""
    begun = poet.models.predictions.create("acme/poet", input={"prompt": "hello"}, wait=False)
    assert begun.status == "processing"
    begun.reload()
    assert begun.output == ["rain", " and", " wind"]


def test_replicate_error(poet: replicate.Client) -> None:
    """The provider's own error arrives as it is."""
    with pytest.raises(replicate.exceptions.ReplicateError, match="no such model"):
        poet.run("acme/nobody", input={})
