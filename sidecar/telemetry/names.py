"""The conventions' names, in one table: they are about to change.

Everything ``gen_ai.*`` is in development. v1.41.0 of the semantic conventions is the last release
that holds these texts in full, and what back ends read today. ``gen_ai_latest_experimental`` in
``OTEL_SEMCONV_STABILITY_OPT_IN`` chooses the names of the repository that they have moved to. What
is of HTTP is stable. Ours begin with ``sidecar.``.

https://github.com/open-telemetry/semantic-conventions/tree/v1.41.0/docs/gen-ai
https://github.com/open-telemetry/semantic-conventions-genai
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.domain import WireFormat
from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.events import CallFinished

SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"
SCOPE = "llm-resilience-sidecar"

DURATION_BOUNDS = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28),
    *(2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
TOKEN_BOUNDS = tuple([float(4**power) for power in range(14)])
PER_TOKEN_BOUNDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
"""Those of ``gen_ai.server.time_per_output_token``, which is for model servers and not for us."""


@value
class Names:
    """What differs between the generations."""

    duration: str
    first_chunk: str
    cache_write: str
    has_token_histogram: bool


V1_41 = Names(
    duration="gen_ai.client.operation.duration",
    first_chunk="gen_ai.client.operation.time_to_first_chunk",
    cache_write="gen_ai.usage.cache_creation.input_tokens",
    has_token_histogram=True,
)
LATEST = Names(
    duration="gen_ai.client.inference.duration",
    first_chunk="gen_ai.client.inference.time_to_first_chunk",
    cache_write="gen_ai.usage.cache_write.input_tokens",
    has_token_histogram=False,
)
TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105 - no password
USAGE_COUNTER = "gen_ai.client.inference.usage."
"""The latest generation's counters begin so: ``input_tokens``, ``output_tokens`` and so on."""

PROVIDERS = {
    "openai": "openai",
    "azure-openai": "azure.ai.openai",
    "anthropic": "anthropic",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "groq": "groq",
    "deepseek": "deepseek",
    "xai": "x_ai",
    "bedrock": "aws.bedrock",
}
"""``gen_ai.provider.name`` by kind; a kind that the conventions do not list says its own name."""

OPERATIONS = {
    WireFormat.OPENAI_EMBEDDINGS: "embeddings",
    WireFormat.GEMINI_EMBEDDINGS: "embeddings",
    WireFormat.GEMINI: "generate_content",
}
CHAT = "chat"
_PATHS = {
    WireFormat.OPENAI_CHAT: "/v1/chat/completions",
    WireFormat.OPENAI_RESPONSES: "/v1/responses",
    WireFormat.OPENAI_EMBEDDINGS: "/v1/embeddings",
    WireFormat.ANTHROPIC_MESSAGES: "/v1/messages",
    WireFormat.GEMINI_EMBEDDINGS: "/v1beta/models/{name}:embedContent",
}
_GEMINI = "/v1beta/models/{name}:"


def operation_of(form: WireFormat | None) -> str:
    """Return ``gen_ai.operation.name`` of what a caller asked in ``form``."""
    return OPERATIONS.get(form, CHAT) if form is not None else CHAT


def provider_of(kind: str) -> str:
    """Return ``gen_ai.provider.name`` of a kind."""
    return PROVIDERS.get(kind, kind)


def path_of(call: CallFinished) -> str:
    """Return the template of the path that a call came by."""
    if call.door:
        return call.door
    if call.format is WireFormat.GEMINI:
        is_stream = call.asked is not None and call.asked.is_stream
        return _GEMINI + ("streamGenerateContent" if is_stream else "generateContent")
    return template_of(call.format)


def template_of(form: WireFormat | None) -> str:
    """Return the template of the path that speaks ``form``, ``""`` where it has several."""
    return _PATHS.get(form, "") if form is not None else ""
