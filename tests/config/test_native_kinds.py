"""Providers with a format of their own: what their entries need, and what comes of it."""

from __future__ import annotations

import pytest

from sidecar.config.load import load_text
from sidecar.config.model import AwsKeys, Config, KeyReference
from sidecar.domain import Capacity, EndpointId, ProviderName, WireFormat
from sidecar.errors import ConfigError
from sidecar.upstream import kinds_native

ENV = {"TOKEN": "t", "ID": "i", "SECRET": "s"}
SIGNED = "region: eu-central-1, access_key_id: {env: ID}, secret_access_key: {env: SECRET}"


def read(entry: str) -> Config:
    """Return the configuration of one provider with one model."""
    text = f"providers: {{p: {{{entry}}}}}\nmodels: {{m: {{provider: p, model: x}}}}\n"
    return load_text(text.encode(), ENV, source="c.yaml")


def mistakes(entry: str) -> tuple[str, ...]:
    """Return what is wrong with a provider."""
    with pytest.raises(ConfigError) as caught:
        read(entry)
    return caught.value.problems


def test_bedrock_with_a_key() -> None:
    """An API key needs a region for the address, and nothing that signs."""
    config = read("kind: bedrock, region: us-west-2, api_key: {env: TOKEN}")
    target = config.targets[ProviderName("p")]
    assert target.base_url == "https://bedrock-runtime.us-west-2.amazonaws.com"
    assert target.aws is None
    endpoint = config.catalogue.endpoints[EndpointId("p/m")]
    assert endpoint.format is WireFormat.BEDROCK_CONVERSE
    assert endpoint.host == "https://bedrock-runtime.us-west-2.amazonaws.com:443"
    assert endpoint.max_tokens_field == "maxTokens"
    assert endpoint.capacity is Capacity.SHARED


def test_bedrock_with_aws_keys() -> None:
    """Keys that sign come as references, like all secrets; a base URL may be another."""
    config = read(f'kind: bedrock, base_url: "http://127.0.0.1:1", {SIGNED}')
    target = config.targets[ProviderName("p")]
    assert target.base_url == "http://127.0.0.1:1"
    assert target.api_key is None
    assert target.aws == AwsKeys(
        access_key_id=KeyReference(env="ID"),
        secret_access_key=KeyReference(env="SECRET"),
        session_token=None,
        region="eu-central-1",
    )


PLACE = "c.yaml:1: $.providers.p"


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (
            "kind: bedrock, api_key: {env: TOKEN}",
            f'{PLACE}: missing key "region" of kind bedrock; add `region: us-east-1`',
        ),
        (
            "kind: bedrock, region: us-east-1",
            (
                f'{PLACE}: missing key "api_key", which https://bedrock-runtime.us-east-1.amazonaws.com'
                " asks for; add `api_key: {env: AWS_BEARER_TOKEN_BEDROCK}`"
            ),
        ),
        (
            f"kind: bedrock, api_key: {{env: TOKEN}}, {SIGNED}",
            f"{PLACE}: expected either api_key or AWS keys, got both; remove one",
        ),
        (
            "kind: bedrock, region: us-east-1, access_key_id: {env: ID}",
            (
                f'{PLACE}: missing key "secret_access_key" beside the other AWS keys; add'
                " `secret_access_key: {env: AWS_SECRET_ACCESS_KEY}`"
            ),
        ),
        (
            f"kind: bedrock, {SIGNED}, session_token: {{env: NONE}}",
            (
                f"{PLACE}.session_token.env: environment variable NONE is not set;"
                " set it or name another"
            ),
        ),
        (
            "kind: openai, api_key: {env: TOKEN}, region: us-east-1",
            f"{PLACE}.region: kind openai has no such key; remove it",
        ),
    ],
)
def test_mistakes(entry: str, problem: str) -> None:
    """Each mistake is told with its place and the way out."""
    assert mistakes(entry) == (problem,)


def test_aws_keys_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing extra is found at start, with its name, and only by those who need it."""
    monkeypatch.setattr(kinds_native, "SIGNING_PACKAGE", "no_such_package")
    (problem,) = mistakes(f"kind: bedrock, {SIGNED}")
    assert problem.endswith("install llm-resilience-sidecar[bedrock] or use an api_key")
    read("kind: bedrock, region: us-west-2, api_key: {env: TOKEN}")


def test_ollama_needs_nothing() -> None:
    """A local Ollama is known by its kind alone, and our load is all its load."""
    config = read("kind: ollama")
    assert config.targets[ProviderName("p")].base_url == "http://127.0.0.1:11434"
    endpoint = config.catalogue.endpoints[EndpointId("p/m")]
    assert endpoint.format is WireFormat.OLLAMA_CHAT
    assert endpoint.capacity is Capacity.DEDICATED
    shared = read("kind: ollama, capacity: shared")
    assert shared.catalogue.endpoints[EndpointId("p/m")].capacity is Capacity.SHARED
