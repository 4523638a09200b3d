"""The kinds' data, where an entry could contradict the format that it speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.domain import WireFormat
from sidecar.upstream.kinds import KINDS
from sidecar.upstream.kinds_hosted import HOSTED
from sidecar.upstream.kinds_local import LOCAL

if TYPE_CHECKING:
    from sidecar.upstream.kind import Kind


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        (None, "max_completion_tokens"),
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("http://llama.models.svc:8000/v1", "max_tokens"),
        ("https://api.openai.com.example/v1", "max_tokens"),
    ],
)
def test_compatible_servers_know_max_tokens(base_url: str | None, expected: str) -> None:
    """OpenAI itself wants max_completion_tokens, servers that imitate it know max_tokens."""
    kind = KINDS["openai"]
    assert kind.max_tokens_field_at(base_url) == expected
    assert kind.needs_key_at(base_url) is (expected == "max_completion_tokens")


@pytest.mark.parametrize(
    ("base_url", "is_spoken"),
    [
        (None, True),
        ("https://eu.api.openai.com/v1", True),
        ("http://llama.models.svc:8000/v1", False),
    ],
)
def test_openai_itself_speaks_responses(base_url: str | None, *, is_spoken: bool) -> None:
    """Servers that imitate OpenAI are asked in chat, which all of them know."""
    spoken = KINDS["openai"].also_at(base_url)
    assert (WireFormat.OPENAI_RESPONSES in spoken) is is_spoken
    assert WireFormat.OPENAI_EMBEDDINGS in spoken


def test_rule_words_are_lower_case() -> None:
    """Types and phrases are compared in lower case, so the table must be."""
    for kind in KINDS.values():
        for rule in kind.error_rules:
            assert all(word == word.lower() for word in (*rule.types, *rule.phrases))


def test_no_kind_forwards_credentials() -> None:
    """A caller's credential headers pass to no provider."""
    withheld = {
        "authorization",
        "x-api-key",
        "x-goog-api-key",
        "cookie",
        "openai-organization",
        "openai-project",
    }
    for kind in KINDS.values():
        assert not kind.forward_headers & withheld


def test_formats() -> None:
    """Each kind speaks its own format."""
    assert KINDS["openai"].format is WireFormat.OPENAI_CHAT
    assert KINDS["anthropic"].format is WireFormat.ANTHROPIC_MESSAGES
    assert KINDS["gemini"].format is WireFormat.GEMINI
    assert all(kind.format is WireFormat.OPENAI_CHAT for kind in (*HOSTED, *LOCAL))
    assert all(KINDS[kind.name] is kind for kind in (*HOSTED, *LOCAL))


@pytest.mark.parametrize(
    ("name", "base_url", "header", "key_env"),
    [
        ("azure-openai", None, "api-key", "AZURE_OPENAI_API_KEY"),
        ("mistral", "https://api.mistral.ai/v1", "authorization", "MISTRAL_API_KEY"),
        ("openrouter", "https://openrouter.ai/api/v1", "authorization", "OPENROUTER_API_KEY"),
        ("together", "https://api.together.xyz/v1", "authorization", "TOGETHER_API_KEY"),
        ("groq", "https://api.groq.com/openai/v1", "authorization", "GROQ_API_KEY"),
        ("deepseek", "https://api.deepseek.com", "authorization", "DEEPSEEK_API_KEY"),
        ("xai", "https://api.x.ai/v1", "authorization", "XAI_API_KEY"),
        ("vllm", "http://127.0.0.1:8000/v1", "authorization", "VLLM_API_KEY"),
        ("llamacpp", "http://127.0.0.1:8080/v1", "authorization", "LLAMA_API_KEY"),
        ("ollama-compatible", "http://127.0.0.1:11434/v1", "authorization", "OLLAMA_API_KEY"),
    ],
)
def test_each_is_reached_as_its_own_sdk_does(
    name: str, base_url: str | None, header: str, key_env: str
) -> None:
    """Address, header and variable are those that the provider's own SDK or program has."""
    (kind,) = (kind for kind in (*HOSTED, *LOCAL) if kind.name == name)
    assert (kind.base_url, kind.auth_header, kind.key_env) == (base_url, header, key_env)
    assert kind.auth_prefix == ("" if header == "api-key" else "Bearer ")


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_only_a_server_of_ones_own_needs_no_key(kind: Kind) -> None:
    """Vendors ask for a key at their own address, local servers nowhere."""
    assert kind.needs_key_at(kind.base_url) is not kind.is_local
    assert kind.needs_key_at("http://llama.models.svc:8000/v1") is False


@pytest.mark.parametrize(
    "base_url",
    [
        "https://acme.openai.azure.com/openai/v1",
        "https://acme.services.ai.azure.com/openai/v1",
        "https://acme.cognitiveservices.azure.com/openai/v1",
    ],
)
def test_every_resource_is_azure_itself(base_url: str) -> None:
    """A resource of any name is the provider itself: it needs a key and speaks Responses too."""
    kind = KINDS["azure-openai"]
    assert kind.needs_key_at(base_url)
    assert kind.max_tokens_field_at(base_url) == "max_completion_tokens"
    assert WireFormat.OPENAI_RESPONSES in kind.also_at(base_url)
    assert not kind.is_own("https://openai.azure.com.example/v1")


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_dialect_renames_nothing_twice(kind: Kind) -> None:
    """What is renamed is not left out as well, and no new name is renamed again."""
    olds = {old for old, _ in kind.dialect.renames}
    news = {new for _, new in kind.dialect.renames}
    assert not olds & news
    assert not (olds | news) & set(kind.dialect.leaves_out)
    assert kind.max_tokens_field not in (*olds, *kind.dialect.leaves_out)
