"""What is known of each kind of provider, as data: address, authentication, meaning of errors.

A new provider is a new entry here, never a branch in the control flow. The error table is shared,
since providers copy each other's codes; a kind may put rules of its own before it. The first
matching rule wins, so the order is the decision: what blocks an account (quota) and what says "not
me, now" (overload) must be seen before the status code, which lies often enough: billing failures
arrive as 400, overload as 400 and 500. Codes and phrases are those of recorded answers and of
public bug reports; see the cases in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sidecar.domain import OutcomeClass, WireFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

IN_STREAM: Final = 200  # the status under which an in-stream error event is classified


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRule:
    """One line of the error table: ``cls`` if every condition given holds.

    ``statuses``: any of them, empty for all. ``types`` and ``phrases``, in lower case: the error's
    type or code is one of these, or its text contains one of those; both empty: the status alone
    decides. ``needs_no_pushback``: only where the provider does not say when to come back: a quota
    that refills in 48 s is a rate limit, whatever it calls itself.
    """

    cls: OutcomeClass
    statuses: frozenset[int] = frozenset()
    types: frozenset[str] = frozenset()
    phrases: tuple[str, ...] = ()
    needs_no_pushback: bool = False


COMMON_RULES: Final = (
    ErrorRule(
        cls=OutcomeClass.GONE,
        types=frozenset(
            {
                "model_not_found",
                "model_not_available",
                "model_decommissioned",
                "deploymentnotfound",
                "unknown_model",
            }
        ),
    ),
    ErrorRule(
        cls=OutcomeClass.QUOTA,
        types=frozenset(
            {
                "insufficient_quota",
                "insufficient_balance",
                "insufficient_credits",
                "billing_error",
                "billing_not_active",
                "billing_hard_limit_reached",
                "enforced_spend_limit_reached",
                "spend_limit_reached",
            }
        ),
    ),
    ErrorRule(cls=OutcomeClass.QUOTA, statuses=frozenset({402})),
    ErrorRule(
        cls=OutcomeClass.QUOTA,
        statuses=frozenset({IN_STREAM, 400, 403, 429}),
        phrases=(
            "credit balance",
            "insufficient balance",
            "insufficient credit",
            "exceeded your current quota",
            "spend limit",
            "spending limit",
            "usage limit",
            "billing hard limit",
        ),
        needs_no_pushback=True,
    ),
    # A request larger than the limit: waiting never cures it, and the account's other requests are
    # fine. RATE would block the account for all of them, so it is the caller's: no gate moves.
    ErrorRule(cls=OutcomeClass.CALLER, statuses=frozenset({429}), phrases=("request too large",)),
    ErrorRule(
        cls=OutcomeClass.OVERLOAD,
        types=frozenset(
            {
                "overloaded_error",
                "overloaded",
                "server_is_overloaded",
                "engine_overloaded",
                "engine_overloaded_error",
                "service_tier_capacity_exceeded",
                "slow_down",
            }
        ),
    ),
    ErrorRule(cls=OutcomeClass.OVERLOAD, statuses=frozenset({529})),
    ErrorRule(
        cls=OutcomeClass.OVERLOAD,
        statuses=frozenset({IN_STREAM, 429, 500, 502, 503, 504}),
        phrases=("overloaded", "server busy", "server is busy", "high demand"),
    ),
    # A 400 may quote the prompt: one bare word is not enough there.
    ErrorRule(
        cls=OutcomeClass.OVERLOAD,
        statuses=frozenset({400}),
        phrases=("servers are currently overloaded", "model is currently overloaded"),
    ),
    ErrorRule(
        cls=OutcomeClass.OVERLOAD,
        statuses=frozenset({503}),
        phrases=("capacity", "too busy", "pending requests", "queue is full", "slow down"),
    ),
    # The model failed at a forced tool call or a schema: the request was good, another model may
    # manage.
    ErrorRule(
        cls=OutcomeClass.DEGENERATE, types=frozenset({"tool_use_failed", "json_validate_failed"})
    ),
    ErrorRule(
        cls=OutcomeClass.CALLER,
        statuses=frozenset({403}),
        types=frozenset(
            {
                "content_policy_violation",
                "content_policy",
                "content_filter",
                "policy_violation",
                "moderation",
            }
        ),
        phrases=("content policy", "usage polic", "moderation", "flagged", "safety system"),
    ),
    ErrorRule(
        cls=OutcomeClass.AUTH,
        statuses=frozenset({IN_STREAM, 400}),
        types=frozenset(
            {"authentication_error", "permission_error", "invalid_api_key", "api_key_invalid"}
        ),
        phrases=("api key not valid",),
    ),
    ErrorRule(cls=OutcomeClass.AUTH, statuses=frozenset({401, 403})),
    ErrorRule(
        cls=OutcomeClass.RATE,
        statuses=frozenset({IN_STREAM}),
        types=frozenset(
            {"rate_limit_error", "rate_limit_exceeded", "rate_limited", "too_many_requests"}
        ),
    ),
    ErrorRule(cls=OutcomeClass.RATE, statuses=frozenset({429})),
    # One caller's lost file must not disable the model for everyone.
    ErrorRule(
        cls=OutcomeClass.CALLER,
        statuses=frozenset({404}),
        phrases=("file not found", "no such file", "file with id", "previous response"),
    ),
    ErrorRule(cls=OutcomeClass.GONE, statuses=frozenset({404, 410})),
    ErrorRule(
        cls=OutcomeClass.GONE, statuses=frozenset({IN_STREAM}), types=frozenset({"not_found_error"})
    ),
    ErrorRule(
        cls=OutcomeClass.CALLER,
        statuses=frozenset({IN_STREAM}),
        types=frozenset(
            {
                "invalid_request_error",
                "request_too_large",
                "context_length_exceeded",
                "content_policy_violation",
                "content_filter",
            }
        ),
    ),
    ErrorRule(cls=OutcomeClass.S5, statuses=frozenset({408})),
    ErrorRule(cls=OutcomeClass.CALLER, statuses=frozenset(range(400, 500))),
)

GEMINI_RULES: Final = (
    # Somebody else's file or cache, or one that is gone, disables no key.
    ErrorRule(
        cls=OutcomeClass.CALLER,
        statuses=frozenset({403}),
        phrases=("permission to access the file", "cachedcontent not found"),
    ),
    ErrorRule(
        cls=OutcomeClass.DEGENERATE,
        types=frozenset({"malformed_function_call", "malformed_response", "unexpected_tool_call"}),
    ),
    ErrorRule(cls=OutcomeClass.QUOTA, types=frozenset({"billing_disabled"})),
    ErrorRule(
        cls=OutcomeClass.QUOTA,
        statuses=frozenset({400, 429}),
        phrases=("credits are depleted", "enable billing"),
        needs_no_pushback=True,
    ),
    ErrorRule(
        cls=OutcomeClass.AUTH,
        statuses=frozenset({IN_STREAM, 400}),
        phrases=("api key expired", "user location is not supported"),
    ),
    # Google's own cancellation: nobody else is on this connection.
    ErrorRule(cls=OutcomeClass.S5, types=frozenset({"cancelled"})),
    ErrorRule(
        cls=OutcomeClass.RATE,
        statuses=frozenset({IN_STREAM}),
        types=frozenset({"resource_exhausted"}),
    ),
    *COMMON_RULES,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of provider; codec paths (``/chat/completions``, …) are below ``base_url``.

    ``forward_headers``: names, in lower case, of caller headers that it may see; one sent by the
    caller replaces the ``fixed_headers`` entry of that name. ``key_env``: where its own SDK looks
    for the key. ``max_tokens_field`` is the dialect of the provider itself; servers that merely
    speak its format at another base URL know ``compatible_max_tokens_field``, and may need no key.
    """

    name: str
    format: WireFormat
    also: tuple[WireFormat, ...] = ()
    compatible_also: tuple[WireFormat, ...] = ()
    base_url: str | None
    auth_header: str
    auth_prefix: str
    key_env: str
    max_tokens_field: str
    compatible_max_tokens_field: str
    free_probe_path: str | None
    fixed_headers: tuple[tuple[str, str], ...] = ()
    forward_headers: frozenset[str] = frozenset()
    error_rules: tuple[ErrorRule, ...] = COMMON_RULES

    def is_own(self, base_url: str | None) -> bool:
        """Say whether ``base_url`` (None: the default) is the provider itself or a region of it."""
        if base_url is None or self.base_url is None:
            return base_url is None
        own_host = urlsplit(self.base_url).hostname or ""
        host = urlsplit(base_url).hostname or ""
        return host == own_host or host.endswith("." + own_host)

    def also_at(self, base_url: str | None) -> tuple[WireFormat, ...]:
        """Return the further formats that are spoken at ``base_url``."""
        return self.also if self.is_own(base_url) else self.compatible_also

    def max_tokens_field_at(self, base_url: str | None) -> str:
        """Return the request field that bounds the answer at ``base_url``."""
        is_own = self.is_own(base_url)
        return self.max_tokens_field if is_own else self.compatible_max_tokens_field

    def needs_key_at(self, base_url: str | None) -> bool:
        """Say whether a provider at ``base_url`` cannot be used without a key."""
        return self.is_own(base_url)


KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            name="openai",
            format=WireFormat.OPENAI_CHAT,
            base_url="https://api.openai.com/v1",
            auth_header="authorization",
            auth_prefix="Bearer ",
            key_env="OPENAI_API_KEY",
            max_tokens_field="max_completion_tokens",
            compatible_max_tokens_field="max_tokens",
            free_probe_path="/models",
            # openai-organization and openai-project belong to the caller's account, not to ours
            forward_headers=frozenset({"openai-beta"}),
        ),
        Kind(
            name="anthropic",
            format=WireFormat.ANTHROPIC_MESSAGES,
            base_url="https://api.anthropic.com",
            auth_header="x-api-key",
            auth_prefix="",
            key_env="ANTHROPIC_API_KEY",
            max_tokens_field="max_tokens",
            compatible_max_tokens_field="max_tokens",
            free_probe_path="/v1/models",
            # the version that still takes sampling parameters, for translated calls
            fixed_headers=(("anthropic-version", "2023-06-01"),),
            forward_headers=frozenset({"anthropic-version", "anthropic-beta"}),
        ),
        Kind(
            name="gemini",
            format=WireFormat.GEMINI,
            base_url="https://generativelanguage.googleapis.com/v1beta",
            auth_header="x-goog-api-key",
            auth_prefix="",
            key_env="GEMINI_API_KEY",
            max_tokens_field="maxOutputTokens",
            compatible_max_tokens_field="maxOutputTokens",
            free_probe_path="/models",
            error_rules=GEMINI_RULES,
        ),
    )
}
