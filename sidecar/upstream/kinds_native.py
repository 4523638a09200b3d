"""Providers with a format of their own that no vendor of the first two shares."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from sidecar.abilities import Abilities, Ability
from sidecar.domain import WireFormat
from sidecar.upstream.error_rules import COMMON_RULES, GEMINI_RULES
from sidecar.upstream.error_rules_native import BEDROCK_RULES, OLLAMA_RULES
from sidecar.upstream.kind import Kind

SIGNING_PACKAGE: Final = "botocore"
"""Signs requests to AWS; an extra."""

NATIVE: Final = (
    Kind(
        name="gemini",
        format=WireFormat.GEMINI,
        also=(WireFormat.GEMINI_EMBEDDINGS,),
        compatible_also=(WireFormat.GEMINI_EMBEDDINGS,),
        base_url="https://generativelanguage.googleapis.com/v1beta",
        auth_header="x-goog-api-key",
        auth_prefix="",
        key_env="GEMINI_API_KEY",
        max_tokens_field="maxOutputTokens",
        compatible_max_tokens_field="maxOutputTokens",
        free_probe_path="/models",
        error_rules=GEMINI_RULES,
    ),
    Kind(
        name="ollama",
        format=WireFormat.OLLAMA_CHAT,
        base_url="http://127.0.0.1:11434",
        auth_header="authorization",
        auth_prefix="Bearer ",
        key_env="OLLAMA_API_KEY",
        max_tokens_field="num_predict",
        compatible_max_tokens_field="num_predict",
        free_probe_path="/api/tags",
        error_rules=(*OLLAMA_RULES, *COMMON_RULES),
        is_local=True,
        abilities=Abilities(cannot=frozenset({Ability.FORCED_TOOL})),
    ),
    Kind(
        name="bedrock",
        format=WireFormat.BEDROCK_CONVERSE,
        base_url="https://bedrock-runtime.{region}.amazonaws.com",
        auth_header="authorization",
        auth_prefix="Bearer ",
        key_env="AWS_BEARER_TOKEN_BEDROCK",
        max_tokens_field="maxTokens",
        compatible_max_tokens_field="maxTokens",
        free_probe_path=None,
        error_rules=(*BEDROCK_RULES, *COMMON_RULES),
        is_aws=True,
        accept="application/json, application/vnd.amazon.eventstream",
    ),
    Kind(
        name="replicate",
        format=WireFormat.REPLICATE,
        base_url="https://api.replicate.com",
        auth_header="authorization",
        auth_prefix="Bearer ",
        key_env="REPLICATE_API_TOKEN",
        max_tokens_field="max_tokens",
        compatible_max_tokens_field="max_tokens",
        free_probe_path="/v1/account",
        makes_predictions=True,
        abilities=Abilities(
            cannot=frozenset(
                {
                    Ability.TOOLS,
                    Ability.FORCED_TOOL,
                    Ability.SCHEMA,
                    Ability.VISION,
                    Ability.THINKING,
                }
            )
        ),
    ),
)


def can_sign() -> bool:
    """Return whether the package that signs is installed."""
    return find_spec(SIGNING_PACKAGE) is not None
