"""Vendors and aggregators that offer their models in OpenAI's format, each with its own accent.

Base URLs, header and variable names are those of each one's own SDK or documentation. Who goes on
generating (and billing) after the connection was cut is what OpenRouter documents of the vendors
behind it. Field names that a vendor refuses are renamed or left out, for bodies of its own format
too: Mistral answers 422 to a field it does not know, and a fallback would be none.
"""

from __future__ import annotations

from typing import Final

from sidecar.abilities import Abilities, Ability, Dialect
from sidecar.domain import OutcomeClass, WireFormat
from sidecar.upstream.error_rules import COMMON_RULES, ErrorRule
from sidecar.upstream.kind import Kind

_MAX_TOKENS: Final = (("max_completion_tokens", "max_tokens"),)
"""Where the newer name is unknown it is ignored at best, and nothing bounds the answer."""


def _kind(  # noqa: PLR0913 - a row of a table
    name: str,
    base_url: str | None,
    key_env: str,
    *,
    also: tuple[WireFormat, ...] = (),
    own_hosts: tuple[str, ...] = (),
    auth: tuple[str, str] = ("authorization", "Bearer "),
    max_tokens_field: str = "max_tokens",
    free_probe_path: str = "/models",
    rules: tuple[ErrorRule, ...] = (),
    bills_cut_answers: bool = False,
    cannot: frozenset[Ability] = frozenset(),
    dialect: Dialect = Dialect(),  # noqa: B008 - frozen
) -> Kind:
    """Return a kind that speaks Chat Completions; its ``rules`` come before the common ones."""
    return Kind(
        name=name,
        format=WireFormat.OPENAI_CHAT,
        also=also,
        compatible_also=also,
        base_url=base_url,
        own_hosts=own_hosts,
        auth_header=auth[0],
        auth_prefix=auth[1],
        key_env=key_env,
        max_tokens_field=max_tokens_field,
        compatible_max_tokens_field=max_tokens_field,
        free_probe_path=free_probe_path,
        error_rules=(*rules, *COMMON_RULES),
        bills_cut_answers=bills_cut_answers,
        abilities=Abilities(cannot=cannot),
        dialect=dialect,
    )


_RESPONSES: Final = (WireFormat.OPENAI_RESPONSES,)
_EMBEDDINGS: Final = (WireFormat.OPENAI_EMBEDDINGS,)

HOSTED: Final = (
    # The v1 API: https://RESOURCE.openai.azure.com/openai/v1, the deployment's name as the model.
    _kind(
        "azure-openai",
        None,
        "AZURE_OPENAI_API_KEY",
        also=(*_RESPONSES, *_EMBEDDINGS),
        own_hosts=("openai.azure.com", "services.ai.azure.com", "cognitiveservices.azure.com"),
        auth=("api-key", ""),
        max_tokens_field="max_completion_tokens",
        rules=(
            # A deployment of a model that has no chat: no request will ever work.
            ErrorRule(
                cls=OutcomeClass.GONE,
                statuses=frozenset({400}),
                types=frozenset({"operationnotsupported"}),
            ),
        ),
    ),
    _kind(
        "mistral",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        also=_EMBEDDINGS,
        rules=(
            ErrorRule(
                cls=OutcomeClass.UNFIT,
                statuses=frozenset({422}),
                phrases=("extra inputs are not permitted",),
            ),
            # A 429, but of the model's load and not of the account.
            ErrorRule(
                cls=OutcomeClass.OVERLOAD,
                statuses=frozenset({429}),
                phrases=("service tier capacity exceeded",),
            ),
        ),
        bills_cut_answers=True,
        cannot=frozenset({Ability.LOGPROBS}),
        dialect=Dialect(
            renames=(*_MAX_TOKENS, ("seed", "random_seed")),
            leaves_out=(
                *("stream_options", "user", "store", "metadata", "service_tier", "modalities"),
                *("logprobs", "top_logprobs", "logit_bias", "verbosity", "safety_identifier"),
            ),
            words=(("tool_choice", "required", "any"),),
        ),
    ),
    _kind(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        also=(*_RESPONSES, *_EMBEDDINGS),
        # The list of models is public: it would say nothing of the key.
        free_probe_path="/key",
        rules=(
            # What is behind it is short of capacity; the account may go on with other models.
            ErrorRule(
                cls=OutcomeClass.OVERLOAD,
                statuses=frozenset({429}),
                phrases=("rate-limited upstream",),
            ),
            ErrorRule(
                cls=OutcomeClass.GONE,
                statuses=frozenset({503}),
                phrases=("no available model provider that meets your routing requirements",),
            ),
        ),
    ),
    _kind(
        "together",
        "https://api.together.xyz/v1",
        "TOGETHER_API_KEY",
        also=_EMBEDDINGS,
        own_hosts=("together.ai",),
        rules=(
            # A limit of this one model, says its text; the account's others are free.
            ErrorRule(
                cls=OutcomeClass.OVERLOAD,
                statuses=frozenset({429}),
                phrases=("rate limit specific to this model",),
            ),
        ),
        dialect=Dialect(renames=_MAX_TOKENS),
    ),
    _kind(
        "groq",
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        also=_RESPONSES,
        max_tokens_field="max_completion_tokens",
        rules=(
            # A status of its own: the flex tier has no capacity.
            ErrorRule(cls=OutcomeClass.OVERLOAD, statuses=frozenset({498})),
        ),
        bills_cut_answers=True,
        cannot=frozenset({Ability.LOGPROBS}),
        # Each of these is a 400.
        dialect=Dialect(leaves_out=("logprobs", "top_logprobs", "logit_bias")),
    ),
    _kind(
        "deepseek",
        "https://api.deepseek.com",
        "DEEPSEEK_API_KEY",
        also=_RESPONSES,
        rules=(
            ErrorRule(
                cls=OutcomeClass.UNFIT,
                statuses=frozenset({400, 422}),
                phrases=("unknown variant `image_url`", "response_format type is unavailable"),
            ),
        ),
        cannot=frozenset({Ability.SCHEMA}),
        dialect=Dialect(renames=_MAX_TOKENS),
    ),
    _kind(
        "xai",
        "https://api.x.ai/v1",
        "XAI_API_KEY",
        also=_RESPONSES,
        max_tokens_field="max_completion_tokens",
        rules=(
            # A wrong key is a 400 here, and so is an empty account a 403.
            ErrorRule(
                cls=OutcomeClass.AUTH,
                statuses=frozenset({400}),
                phrases=("incorrect api key provided",),
            ),
            ErrorRule(
                cls=OutcomeClass.QUOTA,
                statuses=frozenset({403, 429}),
                phrases=("used all available credits", "monthly spending limit"),
                needs_no_pushback=True,
            ),
        ),
    ),
)
