"""What providers' error answers mean, as an ordered table: the first matching rule wins.

The order is the decision: what blocks an account (quota) and what says "not me, now" (overload)
must be seen before the status code, which lies often enough: billing failures arrive as 400,
overload as 400 and 500. The table is shared, since providers copy each other's codes; a kind may
put rules of its own before it. Codes and phrases are those of recorded answers, of documentation
and of public bug reports; see the cases in the tests.

Two verdicts are neither the provider's failure nor the caller's mistake yet: the prompt does not
fit *this* endpoint (CONTEXT), or *this* model cannot do what is asked (UNFIT). Another may; only if
none does is it the caller's.
"""

from __future__ import annotations

from typing import Final

from sidecar.domain import OutcomeClass
from sidecar.value import value

IN_STREAM: Final = 200  # the status under which an in-stream error event is classified


@value
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
    # fine. RATE would block the account for all of them; another account may have room.
    ErrorRule(
        cls=OutcomeClass.CONTEXT, statuses=frozenset({413, 429}), phrases=("request too large",)
    ),
    ErrorRule(
        cls=OutcomeClass.CONTEXT,
        types=frozenset(
            {
                "context_length_exceeded",
                "context_window_exceeded",
                "exceed_context_size_error",
                "model_max_prompt_tokens_exceeded",
                "too_many_tokens",
                "too_many_prompt_tokens",
            }
        ),
    ),
    # Aggregators wrap the 400 of who is behind them in a 5xx of their own.
    ErrorRule(
        cls=OutcomeClass.CONTEXT,
        statuses=frozenset({IN_STREAM, 400, 413, 422, 500, 502}),
        phrases=(
            "prompt is too long",
            "prompt too long",
            "input is too long",
            "maximum context length",
            "maximum prompt length",
            "maximum model length",
            "exceeds the context window",
            "exceeds the available context size",
            "exceed context limit",
            "context size has been exceeded",
            "exceeds the maximum number of tokens",
            "exceeds the maximum number of input tokens",
            "`inputs` tokens + `max_new_tokens` must be",
            "reduce the length of the messages",
        ),
    ),
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
    # The model cannot do it, or its server was started without: another may. Before the 404s, or
    # one caller's image would disable the model for everyone.
    ErrorRule(
        cls=OutcomeClass.UNFIT,
        statuses=frozenset({IN_STREAM, 400, 404, 422}),
        types=frozenset({"unsupported_parameter", "unsupported_value"}),
        phrases=(
            "no endpoints found that support",
            "does not support tools",
            "does not support image",
            "does not support parameter",
            "does not support this tool_choice",
            "not supported with this model",
            "not supported on this model",
            "not supported by this model",
            "image input is not supported",
        ),
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
