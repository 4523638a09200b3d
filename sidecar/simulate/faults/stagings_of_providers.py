"""Stagings of rows 1 to 29: what providers do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.simulate.faults.staging import Act, ActKind, Caller, Staging
from sidecar.simulate.incidents import ALPHA, PAIR, Scenario, Staged
from sidecar.simulate.scenarios import BY_NAME
from sidecar.upstream.simulated import Fault, FaultKind

if TYPE_CHECKING:
    from collections.abc import Sequence

SOLELY_FAST = (1.0,)
HARMLESS = "A keeps its traffic: there is nothing to leave, and nothing to come back to"
NO_REFUGE = "nobody better is left to turn to"
TOOLS: dict[str, object] = {
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
            },
        }
    ]
}
BLOCK_S = 960.0
"""Longer than the quarter of an hour for which an empty account is left alone."""
PROMPT_TOKENS_MAX = 300
LARGE_PROMPT = "word " * 1500
KEEP_NONE = (Act(kind=ActKind.KEEP_NONE), Act(kind=ActKind.KEEP_AGAIN, is_after=True))


def alpha(
    name: str,
    *faults: Fault,
    route: str | None = None,
    is_streamed: bool = False,
    rates: Sequence[float] = (1.0, 0.1),
    fault_s: float | None = None,
    return_s: float | None = None,
) -> Scenario:
    """Return a scenario of faults at A alone."""
    usual = Scenario(name=name, title=name)
    return Scenario(
        name=name,
        title=name,
        route=route or usual.route,
        staged=tuple(Staged(provider=ALPHA, fault=fault) for fault in faults),
        stream_share=1.0 if is_streamed else usual.stream_share,
        rates=tuple(rates),
        fault_s=fault_s,
        return_s=return_s,
    )


STAGINGS_OF_PROVIDERS = (
    Staging(number=1, scenario=BY_NAME["refused"]),
    Staging(number=2, scenario=alpha("blackhole", Fault(kind=FaultKind.BLACKHOLE))),
    Staging(number=3, scenario=alpha("dns", Fault(kind=FaultKind.DNS_FAILURE)), acts=KEEP_NONE),
    Staging(number=4, scenario=alpha("tls", Fault(kind=FaultKind.TLS_FAILURE)), acts=KEEP_NONE),
    Staging(number=5, scenario=BY_NAME["s500"]),
    Staging(number=6, scenario=BY_NAME["s503"]),
    Staging(
        number=7,
        scenario=alpha(
            "overload20",
            Fault(kind=FaultKind.STATUS, status=529, share=0.2, error_type="overloaded_error"),
            route=PAIR,
        ),
    ),
    Staging(number=8, scenario=BY_NAME["rate429"]),
    Staging(
        number=9,
        scenario=alpha(
            "token-rate",
            Fault(
                kind=FaultKind.TOKEN_RATE, prompt_tokens_max=PROMPT_TOKENS_MAX, retry_after_s=2.0
            ),
        ),
        before=(Caller(share=0.7), Caller(share=0.3, question=LARGE_PROMPT)),
        callers=(Caller(share=0.7), Caller(share=0.3, question=LARGE_PROMPT)),
        no_detection="A is well for small prompts and is to keep them",
        no_recovery="A is well for small prompts and is to keep them",
    ),
    Staging(
        number=10,
        scenario=alpha(
            "spend-limit",
            Fault(kind=FaultKind.STATUS, status=429, error_code="enforced_spend_limit_reached"),
            return_s=BLOCK_S,
        ),
    ),
    Staging(
        number=11,
        scenario=alpha("key", Fault(kind=FaultKind.STATUS, status=401)),
        acts=(Act(kind=ActKind.NEW_KEY, is_after=True),),
    ),
    Staging(
        number=12,
        scenario=alpha("payment", Fault(kind=FaultKind.STATUS, status=402), return_s=BLOCK_S),
    ),
    Staging(number=13, scenario=BY_NAME["hang"]),
    Staging(number=14, scenario=BY_NAME["silent"]),
    Staging(number=15, scenario=BY_NAME["brownout"]),
    Staging(number=16, scenario=alpha("drip", Fault(kind=FaultKind.DRIP, factor=10.0), route=PAIR)),
    Staging(number=17, scenario=BY_NAME["partial30"]),
    Staging(number=18, scenario=BY_NAME["flapping"]),
    Staging(number=19, scenario=BY_NAME["resets"]),
    Staging(number=20, scenario=BY_NAME["truncation"]),
    Staging(
        number=21,
        scenario=alpha("error-event", Fault(kind=FaultKind.STREAM_ERROR), is_streamed=True),
    ),
    Staging(
        number=22,
        scenario=alpha("tool-error", Fault(kind=FaultKind.TOOL_THEN_ERROR), is_streamed=True),
        before=(Caller(question="Please use a tool.", extra=TOOLS),),
        callers=(Caller(question="Please use a tool.", extra=TOOLS),),
    ),
    Staging(
        number=23,
        scenario=alpha("sliced", Fault(kind=FaultKind.SLICE), is_streamed=True, rates=SOLELY_FAST),
        no_detection=HARMLESS,
        no_recovery=HARMLESS,
    ),
    Staging(
        number=24,
        scenario=alpha(
            "malformed",
            Fault(kind=FaultKind.MALFORMED, share=0.5),
            Fault(kind=FaultKind.MALFORMED, after_tokens=10),
        ),
    ),
    Staging(
        number=25,
        scenario=alpha(
            "hollow",
            Fault(kind=FaultKind.EMPTY, share=0.5),
            Fault(kind=FaultKind.DEGENERATE),
        ),
    ),
    Staging(
        number=26,
        scenario=alpha("stale", Fault(kind=FaultKind.STALE)),
        no_detection=HARMLESS,
        no_recovery=HARMLESS,
    ),
    Staging(number=27, scenario=BY_NAME["two-down"]),
    Staging(
        number=28,
        scenario=BY_NAME["all-down"],
        no_detection=NO_REFUGE,
    ),
    Staging(
        number=29,
        scenario=alpha(
            "ten-minutes", Fault(kind=FaultKind.STATUS, status=500), fault_s=600.0, return_s=300.0
        ),
    ),
)
