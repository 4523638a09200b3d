"""Where errors become HTTP: the only place.

A ``CallError`` becomes its status and a body in the caller's own format, so that the caller's SDK
raises the type it knows; ``x-sidecar-error`` tells ours from a provider's. Behind it stands the
whole story: every attempt with its reason. Anything else that arrives here is a defect of ours:
logged once with its traceback, answered with a bare 500, since its text may hold what nobody must
see.

The sidecar has already retried. ``x-should-retry`` therefore says false unless waiting briefly
makes sense, and ``Retry-After`` is ours and capped: SDKs sleep for as long as a header tells them,
five minutes if a provider says so.

``ConnectionError`` (the caller is gone) passes through untouched, cancellation never gets here.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import msgspec

from sidecar.errors import CallError, MethodNotAllowedError
from sidecar.server import disclose
from sidecar.value import value
from sidecar.wire.formats import caller_codec

if TYPE_CHECKING:
    from sidecar.domain import CallId, Outcome, RouteName, WireFormat
    from sidecar.server.exchange import Exchange

log = logging.getLogger(__name__)

RETRY_AFTER_S_MAX = 60
WORTH_RETRYING_S_MAX = 10.0
"""Up to here a caller's own retry is likely to find us or a provider recovered while its user still
waits."""
_WORTH_RETRYING = (429, 503)
_INTERNAL = "the sidecar failed; its log says why"
_MESSAGE_CHARS_MAX = 4000
_ATTEMPT_MESSAGE_CHARS_MAX = 500


@value
class Subject:
    """What is known of a request that may fail: its ids, and the form of its errors or None.

    ``allow`` lists the methods of its path, for a 405.
    """

    format: WireFormat | None = None
    call_id: CallId | None = None
    route: RouteName | None = None
    allow: str | None = None


async def answer_for(error: Exception, exchange: Exchange, subject: Subject) -> None:
    """Answer ``exchange`` for ``error``, whatever it is.

    Raises:
        ConnectionError: it was one; there is nobody to be answered.
    """
    if isinstance(error, ConnectionError):
        raise error
    if not isinstance(error, CallError):
        log.error("a handler failed (call %s)", subject.call_id, exc_info=error)
        error = CallError(_INTERNAL)
    if exchange.is_started:
        # The head is gone: a cut connection is the only error left that nobody takes for an answer.
        exchange.abort()
        return
    status, headers, body = render(error, subject)
    await exchange.answer(status, headers, body)


def render(error: CallError, subject: Subject) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body that say ``error``."""
    headers = _headers(error, subject)
    # a message may quote bytes of the caller's that were no UTF-8
    message = error.message[:_MESSAGE_CHARS_MAX].encode("utf-8", "replace").decode()
    details = _details(error, subject)
    if subject.format is None:
        neutral = {"error": {"code": error.code, "message": message, **details}}
        return error.status, headers, msgspec.json.encode(neutral)
    body = caller_codec(subject.format).render_error(
        status=error.status, code=error.code, message=message, details=details
    )
    return error.status, headers, body


def render_neutral(error: CallError) -> tuple[int, dict[str, str], bytes]:
    """Return ``error`` for a request of no known format."""
    return render(error, Subject())


def render_internal() -> tuple[int, dict[str, str], bytes]:
    """Return the answer to a request whose handler is broken."""
    return render(CallError(_INTERNAL), Subject())


def _headers(error: CallError, subject: Subject) -> dict[str, str]:
    headers = {
        "content-type": "application/json",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-sidecar-error": error.code,
        "x-should-retry": "true" if _is_worth_retrying(error) else "false",
    }
    if error.retry_after_s is not None:
        headers["retry-after"] = str(min(math.ceil(error.retry_after_s), RETRY_AFTER_S_MAX))
    if subject.call_id is not None:
        headers["x-sidecar-call-id"] = disclose.clean(subject.call_id)
    if subject.route is not None:
        headers["x-sidecar-route"] = disclose.clean(subject.route)
    if error.attempts:
        labels = [attempt.label() for attempt in error.attempts]
        headers["x-sidecar-attempts"] = disclose.listed(labels)
        cost_usd = sum(attempt.cost_usd for attempt in error.attempts)
        if cost_usd > 0:
            headers["x-sidecar-cost-usd"] = disclose.usd(cost_usd)
    if error.status == MethodNotAllowedError.status and subject.allow is not None:
        headers["allow"] = subject.allow
    return headers


def _is_worth_retrying(error: CallError) -> bool:
    return (
        error.status in _WORTH_RETRYING
        and error.retry_after_s is not None
        and error.retry_after_s <= WORTH_RETRYING_S_MAX
    )


def _details(error: CallError, subject: Subject) -> dict[str, object]:
    details: dict[str, object] = {"code": error.code}
    if subject.call_id is not None:
        details["call_id"] = subject.call_id
    if subject.route is not None:
        details["route"] = subject.route
    if error.attempts:
        details["attempts"] = [_attempt(outcome) for outcome in error.attempts]
    if error.path is not None:
        details["path"] = error.path
    details.update(error.details)
    return details


def _attempt(outcome: Outcome) -> dict[str, object]:
    return {
        "endpoint": outcome.endpoint,
        "class": outcome.cls.value,
        "status": outcome.status,
        "message": outcome.message[:_ATTEMPT_MESSAGE_CHARS_MAX],
    }
