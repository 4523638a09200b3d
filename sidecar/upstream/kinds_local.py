"""Servers of one's own with OpenAI's format: no key unless given, no price, slowed by our load.

Their default addresses are those of their own programs; in a cluster a ``base_url`` says where.
"""

from __future__ import annotations

from typing import Final

from sidecar.abilities import Abilities, Ability, Dialect
from sidecar.domain import OutcomeClass, WireFormat
from sidecar.upstream.error_rules import COMMON_RULES, ErrorRule
from sidecar.upstream.kind import Kind

_MAX_TOKENS: Final = (("max_completion_tokens", "max_tokens"),)


def _kind(
    name: str,
    base_url: str,
    key_env: str,
    *,
    rules: tuple[ErrorRule, ...] = (),
    cannot: frozenset[Ability] = frozenset(),
    dialect: Dialect = Dialect(),  # noqa: B008 - frozen
) -> Kind:
    """Return a kind of local server; its ``rules`` come before the common ones."""
    embeddings = (WireFormat.OPENAI_EMBEDDINGS,)
    return Kind(
        name=name,
        format=WireFormat.OPENAI_CHAT,
        also=embeddings,
        compatible_also=embeddings,
        base_url=base_url,
        auth_header="authorization",
        auth_prefix="Bearer ",
        key_env=key_env,
        max_tokens_field="max_tokens",
        compatible_max_tokens_field="max_tokens",
        free_probe_path="/models",
        error_rules=(*rules, *COMMON_RULES),
        is_local=True,
        abilities=Abilities(cannot=cannot),
        dialect=dialect,
    )


LOCAL: Final = (
    _kind(
        "vllm",
        "http://127.0.0.1:8000/v1",
        "VLLM_API_KEY",
        rules=(
            ErrorRule(
                cls=OutcomeClass.UNFIT,
                statuses=frozenset({400}),
                phrases=(
                    "tool choice requires --enable-auto-tool-choice",
                    "is not a multimodal model",
                    "at most 0 image(s) may be provided",
                ),
            ),
        ),
    ),
    _kind(
        "llamacpp",
        "http://127.0.0.1:8080/v1",
        "LLAMA_API_KEY",
        rules=(
            ErrorRule(
                cls=OutcomeClass.UNFIT,
                statuses=frozenset({400, 500}),
                phrases=("requires --jinja", "image input is not supported"),
            ),
        ),
        dialect=Dialect(renames=_MAX_TOKENS),
    ),
    _kind(
        "ollama-compatible",
        "http://127.0.0.1:11434/v1",
        "OLLAMA_API_KEY",
        # A tool_choice is read and not heeded.
        cannot=frozenset({Ability.FORCED_TOOL}),
        dialect=Dialect(renames=_MAX_TOKENS),
    ),
)
