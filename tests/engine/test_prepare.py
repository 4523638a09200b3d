"""What is sent to an endpoint, in its provider's dialect."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sidecar.domain import (
    Call,
    CallId,
    Endpoint,
    EndpointId,
    HostName,
    ModelName,
    ProviderName,
    Route,
    RouteName,
    WireFormat,
)
from sidecar.engine.prepare import Preparation
from sidecar.upstream.kinds import KINDS
from sidecar.wire.formats import codec

MISTRAL = KINDS["mistral"]
ENDPOINT = Endpoint(
    id=EndpointId("mistral/large"),
    provider=ProviderName("mistral"),
    model=ModelName("large"),
    upstream_model="mistral-large-4",
    format=MISTRAL.format,
    host=HostName("https://api.mistral.ai:443"),
    max_tokens_field=MISTRAL.max_tokens_field,
    dialect=MISTRAL.dialect,
)
MESSAGES = [{"role": "user", "content": "hi"}]
TOOL = {"name": "look", "input_schema": {"type": "object"}}


def call(format: WireFormat, **fields: object) -> Call:  # noqa: A002 - the word of the domain
    """Return a streaming call with a body of these fields."""
    body = json.dumps({"model": "r", "messages": MESSAGES, "stream": True, **fields}).encode()
    return Call(
        id=CallId("c"),
        arrived_at=0.0,
        deadline_at=10.0,
        format=format,
        route=Route(name=RouteName("r"), tiers=((ENDPOINT.id,),)),
        body=body,
        facts=codec(format).inspect_request(body),
    )


def test_a_forwarded_body_has_no_field_that_the_provider_refuses() -> None:
    """An OpenAI caller's own words would be a 422 at Mistral; the rest stays as it was."""
    asked = call(
        WireFormat.OPENAI_CHAT,
        max_completion_tokens=7,
        seed=3,
        store=True,
        stream_options={"include_usage": True},
        prediction=None,
    )
    prepared = Preparation(asked).body_for(ENDPOINT, max_tokens=None)
    assert json.loads(prepared.body) == {
        "model": "mistral-large-4",
        "messages": MESSAGES,
        "stream": True,
        "prediction": None,
        "max_tokens": 7,
        "random_seed": 3,
    }
    assert (prepared.dropped, prepared.is_translated) == (("store",), False)


def test_a_translated_body_is_in_the_dialect_too() -> None:
    """An Anthropic caller's forced tool and bound come out in Mistral's words."""
    asked = call(
        WireFormat.ANTHROPIC_MESSAGES,
        max_tokens=9,
        tools=[TOOL],
        tool_choice={"type": "any"},
        metadata={"user_id": "u"},
    )
    prepared = Preparation(asked).body_for(ENDPOINT, max_tokens=5)
    body = json.loads(prepared.body)
    assert (body["max_tokens"], body["tool_choice"]) == (5, "any")
    assert not {"stream_options", "user", "max_completion_tokens"} & body.keys()
    assert "user" in prepared.dropped


@pytest.mark.parametrize("format", [WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES])
def test_a_dialect_is_of_the_endpoints_own_format(
    format: WireFormat,  # noqa: A002 - the word of the domain
) -> None:
    """What the endpoint is asked in another format that it speaks is left alone."""
    endpoint = replace(ENDPOINT, also=(WireFormat.ANTHROPIC_MESSAGES,))
    asked = call(format, max_tokens=9, seed=1)
    body = json.loads(Preparation(asked).body_for(endpoint, max_tokens=None).body)
    assert ("random_seed" in body) is (format is WireFormat.OPENAI_CHAT)
