"""A request that is passed on to one provider, whatever it asks: gates, deadline, verdict.

Not a call: no model, no route, no other provider that could stand in. So there is one attempt, and
a second one only on a kept-alive connection that turned out dead, where the body is at hand to be
sent again. What remains is what all requests to a provider share: a shut host or a blocked account
refuses at once, and what becomes of the request moves both. Only the key's own refusal (401) counts
against the account: a path may be forbidden to a key that is fine. A deadline blames nobody, since
how long a foreign path may take is not known.

An error's body is looked at before its head goes on, up to a bound, so that the caller hears the
verdict; everything else is passed on chunk by chunk, and settled at its end.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.outcome import class_of
from sidecar.domain import EndpointId, Fault, Gate, Outcome, OutcomeClass
from sidecar.engine.attempt import ERROR_BODY_S, ERROR_BYTES_MAX
from sidecar.engine.report import COMMITTED
from sidecar.engine.timer import Timer
from sidecar.errors import (
    AttemptError,
    CallError,
    ConnectFailedError,
    DeadlineExceededError,
    SpendCapError,
    StaleConnectionError,
    UnavailableError,
    UpstreamInterruptedError,
)
from sidecar.events import PassageFinished
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.catalogue import Reach
    from sidecar.core.breaker import Permit
    from sidecar.domain import CallId
    from sidecar.engine.parts import Parts
    from sidecar.engine.ports import PassedRequest, UpstreamResponse
    from sidecar.tracing import TraceContext

ERRORS_FROM, UNAUTHORIZED = 400, 401
TRACE_HEADERS = ("traceparent", "tracestate", "baggage")
"""Of the caller's traces providers learn only where that is configured, of its baggage nothing."""
RETRY_AFTER_S_MAX = 60.0
TRIAL_S = 30.0
"""How long a trial of a host may be under way before another one is made."""


@value
class Passage:
    """A request to pass on, accepted: by when it must be over, as an instant; the caller's span."""

    id: CallId
    arrived_at: float
    deadline_at: float
    request: PassedRequest
    trace: TraceContext | None = None


class PassageRun:
    """Runs one passage: ``open`` it, ``read`` the answer, always ``aclose``.

    Owns the host's permit and the attempts' outcomes. ``status`` and ``headers`` are the provider's
    once it is open; ``attempts`` are ``provider:CLASS`` in order.
    """

    def __init__(self, parts: Parts, passage: Passage) -> None:
        self._parts = parts
        self._passage = passage
        self._provider = passage.request.provider
        self._reach: Reach = parts.catalogue.providers[self._provider]
        self._timer = Timer()
        self._permit: Permit | None = None
        self._began_at = passage.arrived_at
        self._outcomes: list[Outcome] = []
        self._response: UpstreamResponse | None = None
        self._fault: Fault | None = None  # the verdict on an error answer, settled at its end
        self._head: list[bytes] = []
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}

    @property
    def attempts(self) -> tuple[str, ...]:
        """Return what became of each attempt; the one under way is committed, or already judged."""
        labels = tuple(outcome.label() for outcome in self._outcomes)
        if self._permit is None:
            return labels
        word = COMMITTED if self._fault is None else self._fault.cls.value
        return (*labels, f"{self._provider}:{word}")

    async def open(self) -> None:
        """Send the request and return once the head of the answer is in.

        Raises:
            UnavailableError: a gate is shut, or no connection came about.
            UpstreamInterruptedError: the connection broke before the head.
            DeadlineExceededError: there was no head by the deadline.
        """
        self._parts.timers.add(self._timer)
        request = self._passage.request
        try:
            try:
                await self._send(request)
            except StaleConnectionError as error:
                if not (request.body is None or isinstance(request.body, bytes)):
                    raise
                self._settle(Fault(cls=class_of(error), message=str(error)))
                await self._send(replace(request, needs_fresh_connection=True))
        except AttemptError as error:
            raise self._failed(error) from error
        except TimeoutError:
            raise self._timed_out() from None

    async def read(self) -> bytes:
        """Return the next bytes of the answer, ``b""`` at its end.

        Raises:
            UpstreamInterruptedError: it broke.
            DeadlineExceededError: the deadline came first.
        """
        assert self._response is not None, "read before open"
        if self._head:
            return self._head.pop(0)
        try:
            with self._timer.until(self._passage.deadline_at):
                chunk = await self._response.read()
        except AttemptError as error:
            raise self._failed(error) from error
        except TimeoutError:
            raise self._timed_out() from None
        if not chunk:
            ok = Fault(cls=OutcomeClass.OK, message="ok", status=self.status)
            self._settle(self._fault or ok)
        return chunk

    async def aclose(self) -> None:
        """Give back what is held and tell the observer; may repeat. What is not over yet was left
        by its caller.
        """
        self._settle(self._fault or Fault(cls=OutcomeClass.CANCEL, message="the caller left"))
        if self._response is not None:
            self._response.close()
        if self._timer not in self._parts.timers:
            return
        self._parts.timers.discard(self._timer)
        passage, now = self._passage, loop_now()
        self._parts.observer.on_event(
            PassageFinished(
                at=now,
                call_id=passage.id,
                provider=self._provider,
                method=passage.request.method,
                status=self.status,
                duration_s=now - passage.arrived_at,
                attempts=tuple(self._outcomes),
                trace=passage.trace,
            )
        )

    # --- one attempt ---------------------------------------------------------------------------

    async def _send(self, request: PassedRequest) -> None:
        self._admit()
        request = self._in_trace(request)
        with self._timer.until(self._passage.deadline_at):
            remaining_s = self._passage.deadline_at - loop_now()
            connect_s = max(0.0, min(self._reach.connect_s, remaining_s))
            response = await self._parts.upstream.pass_on(request, connect_s=connect_s)
            self._response = response
            self.status, self.headers = response.status, response.headers
            limits = self._parts.upstream.rate_limits(response.headers)
            if limits:
                self._parts.health.account_limits[self._provider].seen(limits, loop_now())
            if response.status >= ERRORS_FROM:
                await self._judge(response)

    def _in_trace(self, request: PassedRequest) -> PassedRequest:
        """Return the request with our trace context in place of the caller's, or without any."""
        kept = [line for line in request.headers if line[0].lower() not in TRACE_HEADERS]
        if self._reach.hears_trace:
            passage, tells = self._passage, self._parts.propagation.headers
            kept += tells(passage.id, self._provider, self._began_at, passage.trace)
        return replace(request, headers=tuple(kept))

    def _admit(self) -> None:
        """Take the host's permit.

        Raises:
            SpendCapError: the provider's money of the day is spent.
            UnavailableError: the host or the account is shut; says until when.
        """
        now, health, caps = loop_now(), self._parts.health, self._parts.budgets.caps
        if caps is not None and caps.is_spent(self._provider):
            message = f"the daily spend cap of provider {self._provider!r} is reached"
            raise SpendCapError(f"{message} until 00:00 UTC", attempts=tuple(self._outcomes))
        lease_s = min(TRIAL_S, self._passage.deadline_at - now)
        permit = health.admit_passage(self._provider, self._reach.host, now, lease_s=lease_s)
        if not isinstance(permit, Gate):
            self._permit, self._began_at = permit, now
            return
        times = (
            health.accounts[self._provider].blocked_until(now),
            health.hosts[self._reach.host].reopens_at(now),
        )
        waits = [at - now for at in times if at is not None and at > now]
        message = f"provider {self._provider!r} takes no requests now: {permit.value}"
        raise UnavailableError(
            message,
            retry_after_s=min(max(waits), RETRY_AFTER_S_MAX) if waits else None,
            attempts=tuple(self._outcomes),
        )

    async def _judge(self, response: UpstreamResponse) -> None:
        """Read an error's body, up to a bound, and say what it means; it is passed on all the same.

        What breaks or takes long here does so again when it is read for the caller.
        """
        size = 0
        try:
            async with asyncio.timeout(ERROR_BODY_S):
                while size < ERROR_BYTES_MAX and (chunk := await response.read()):
                    self._head.append(chunk)
                    size += len(chunk)
        except (AttemptError, TimeoutError):
            pass
        fault = self._parts.upstream.classify_passed(
            self._provider, response.status, response.headers, b"".join(self._head)
        )
        if fault.body is not None:
            self._head = [fault.body]
        is_forbidden = fault.cls is OutcomeClass.AUTH and response.status != UNAUTHORIZED
        self._fault = replace(fault, cls=OutcomeClass.CALLER) if is_forbidden else fault

    # --- verdicts ------------------------------------------------------------------------------

    def _settle(self, fault: Fault) -> None:
        """Give the verdict on the attempt under way; without one nothing is left to judge."""
        if self._permit is None:
            return
        outcome = Outcome(
            cls=fault.cls,
            endpoint=EndpointId(self._provider),
            message=fault.message,
            started_at=self._began_at,
            ended_at=loop_now(),
            status=fault.status,
            retry_after_s=fault.retry_after_s,
        )
        permit, self._permit = self._permit, None
        self._outcomes.append(outcome)
        self._parts.health.settle_passage(self._provider, self._reach.host, permit, outcome)

    def _failed(self, error: AttemptError) -> CallError:
        body = self._passage.request.body
        if body is not None and not isinstance(body, bytes) and body.failure is not None:
            self._settle(Fault(cls=OutcomeClass.CANCEL, message="the caller's body broke"))
            return body.failure
        self._settle(Fault(cls=class_of(error), message=str(error), status=self.status))
        message = f"provider {self._provider!r}: {error}"
        is_unreached = isinstance(error, ConnectFailedError)
        kind = UnavailableError if is_unreached else UpstreamInterruptedError
        return kind(message, attempts=tuple(self._outcomes))

    def _timed_out(self) -> CallError:
        if self._timer.interruption is not None:
            self._settle(Fault(cls=OutcomeClass.LOCAL, message="ended by the sidecar"))
            return self._timer.interruption
        waited_s = loop_now() - self._passage.arrived_at
        message = f"not over after {waited_s:.3g} s"
        self._settle(Fault(cls=OutcomeClass.CALLER_SHORT, message=message))
        message = f"provider {self._provider!r}: {message}"
        return DeadlineExceededError(message, attempts=tuple(self._outcomes))
