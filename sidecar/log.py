"""The log: one line a state change, as ``key=value`` pairs; never one a call, no keys, no prompts.

Reads the same events as telemetry. Calls and attempts are silent at INFO: a log line costs
more than routing a call.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sidecar.events import (
    AccountChanged,
    AttemptFinished,
    BreakerChanged,
    CallFinished,
    CallRefused,
    CanaryRestored,
    CanaryRolledBack,
    DrillChanged,
    EndpointEjected,
    EndpointReturned,
    PassageFinished,
    ProbeFinished,
    ShadowFinished,
    SpendCapChanged,
)

if TYPE_CHECKING:
    from sidecar.events import Event

log = logging.getLogger("sidecar")

_USUAL = (
    AttemptFinished,
    CallFinished,
    CallRefused,
    PassageFinished,
    ProbeFinished,
    ShadowFinished,
)
"""Events that tell no change of state; calls make two or more of them each."""
_Usual = (
    AttemptFinished | CallFinished | CallRefused | PassageFinished | ProbeFinished | ShadowFinished
)


class LogObserver:
    """Writes state changes at WARNING or INFO, calls and attempts at DEBUG."""

    def on_event(self, event: Event) -> None:
        """Write ``event`` if its level is on."""
        if isinstance(event, _USUAL):
            if log.isEnabledFor(logging.DEBUG):
                _write_usual(event)
            return
        match event:
            case BreakerChanged():
                level = logging.WARNING if event.new == "open" else logging.INFO
                wait_s = None if event.reopens_at is None else event.reopens_at - event.at
                log.log(
                    level,
                    "breaker name=%s old=%s new=%s reason=%s reopens_in_s=%s",
                    event.name,
                    event.old,
                    event.new,
                    event.reason,
                    None if wait_s is None else f"{wait_s:.1f}",
                )
            case AccountChanged():
                level = logging.INFO if event.until is None else logging.WARNING
                wait = None if event.until is None else f"{event.until - event.at:.1f}"
                log.log(
                    level,
                    "account provider=%s state=%s blocked_for_s=%s",
                    event.provider,
                    event.reason,
                    wait,
                )
            case DrillChanged():
                left = None if event.until is None else f"{event.until - event.at:.1f}"
                log.warning(
                    "drill endpoint=%s fault=%s share=%g ends_in_s=%s",
                    event.endpoint,
                    event.fault,
                    event.share,
                    left,
                )
            case EndpointEjected() | EndpointReturned():
                is_out = isinstance(event, EndpointEjected)
                log.log(
                    logging.WARNING if is_out else logging.INFO,
                    "%s endpoint=%s reason=%s",
                    "ejected" if is_out else "returned",
                    event.endpoint,
                    event.reason,
                )
            case CanaryRolledBack() | CanaryRestored() | SpendCapChanged():
                _write_seldom(event)


def _write_seldom(event: CanaryRolledBack | CanaryRestored | SpendCapChanged) -> None:
    if isinstance(event, SpendCapChanged):
        _write_cap(event)
        return
    if isinstance(event, CanaryRestored):
        log.info(
            "canary route=%s endpoint=%s state=on_trial reason=%s",
            event.route,
            event.endpoint,
            event.reason,
        )
        return
    log.warning(
        "canary route=%s endpoint=%s state=rolled_back reason=%s own=%.3f..%.3f"
        " incumbent=%s other=%.3f..%.3f",
        event.route,
        event.endpoint,
        event.reason,
        *event.own,
        event.incumbent,
        *event.other,
    )


def _write_cap(event: SpendCapChanged) -> None:
    log.log(
        logging.WARNING if event.is_reached else logging.INFO,
        "spend_cap %s=%s state=%s spent_usd=%.6f usd_per_day=%g",
        event.scope,
        event.name,
        "reached" if event.is_reached else "free",
        event.spent_usd,
        event.usd_per_day,
    )


def _write_usual(event: _Usual) -> None:
    match event:
        case AttemptFinished(outcome=outcome):
            log.debug("attempt call=%s %s kind=%s", event.call_id, outcome.label(), event.kind)
        case CallFinished():
            log.debug(
                "call call=%s route=%s result=%s invalid_output=%s",
                event.call_id,
                event.route,
                event.result,
                event.invalid_output,
            )
        case CallRefused():
            log.debug("refused call=%s code=%s", event.call_id, event.code)
        case PassageFinished():
            log.debug("passage call=%s status=%s", event.call_id, event.status)
        case ProbeFinished():
            log.debug("probe endpoint=%s %s", event.endpoint, event.outcome.label())
        case ShadowFinished():
            log.debug("shadow call=%s %s", event.call_id, event.outcome.label())
