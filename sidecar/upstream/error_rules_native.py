"""What errors mean that only providers with a format of their own send; before the common table."""

from __future__ import annotations

from typing import Final

from sidecar.domain import OutcomeClass
from sidecar.upstream.error_rules import ErrorRule

OLLAMA_RULES: Final = (
    # What this model was not made for; the request was good, another model may manage.
    ErrorRule(
        cls=OutcomeClass.UNFIT,
        statuses=frozenset({400}),
        phrases=("does not support tools", "does not support thinking", "does not support chat"),
    ),
)

BEDROCK_RULES: Final = (
    # One model that this account may not use: the others are not touched by it.
    ErrorRule(
        cls=OutcomeClass.GONE,
        statuses=frozenset({400, 403}),
        phrases=(
            "model identifier is invalid",
            "on-demand throughput isn",
            "access to the model",
            "on resource: arn:",
            "reached the end of its life",
        ),
    ),
    ErrorRule(
        cls=OutcomeClass.OVERLOAD,
        types=frozenset({"modelnotreadyexception", "serviceunavailableexception"}),
    ),
    ErrorRule(cls=OutcomeClass.RATE, types=frozenset({"throttlingexception"})),
    ErrorRule(cls=OutcomeClass.QUOTA, types=frozenset({"servicequotaexceededexception"})),
    ErrorRule(
        cls=OutcomeClass.S5,
        types=frozenset(
            {
                "modelstreamerrorexception",
                "modelerrorexception",
                "modeltimeoutexception",
                "internalserverexception",
            }
        ),
    ),
    ErrorRule(
        cls=OutcomeClass.DEGENERATE,
        types=frozenset({"malformed_model_output", "malformed_tool_use"}),
    ),
    ErrorRule(
        cls=OutcomeClass.AUTH,
        types=frozenset(
            {
                "accessdeniedexception",
                "unrecognizedclientexception",
                "invalidsignatureexception",
                "incompletesignatureexception",
                "missingauthenticationtokenexception",
                "expiredtokenexception",
            }
        ),
    ),
    ErrorRule(cls=OutcomeClass.CALLER, types=frozenset({"validationexception"})),
)
