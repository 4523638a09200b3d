"""The kinds' data, where an entry could contradict the format that it speaks."""

from __future__ import annotations

import pytest

from sidecar.domain import WireFormat
from sidecar.upstream.kinds import KINDS


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
