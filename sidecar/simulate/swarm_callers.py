"""The callers of a world of the swarm: patient and hasty, slow readers, leavers, bursts."""

from __future__ import annotations

import asyncio
import json
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.domain import Call, CallId, Constraints, OnBreak, Priority, WireFormat
from sidecar.engine.answer import PlainAnswer
from sidecar.errors import CallError
from sidecar.simulate.checks import LATE_S
from sidecar.simulate.seen import Seen, read_plain, read_stream
from sidecar.simulate.swarm_fleet import ALONE_S
from sidecar.simulate.traces import CURRENT_CALL, Trace
from sidecar.upstream.simulated_memory import KIND_NAMES
from sidecar.value import value
from sidecar.wire.formats import codec

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from sidecar.domain import RouteName
    from sidecar.engine.answer import Disclosure, Sink, StreamAnswer
    from sidecar.simulate.swarm_world import SwarmWorld

CALLS_MAX = 300
TASKS_SHARE = 0.8
QUESTIONS = ("Say something.", "Say something else.", "And another thing?")
LONG = " ".join(["word"] * 800)


@value
class Manner:
    """How one caller behaves; ``hang_up_s`` None: it stays. ``read_s``: its pause before each
    read.
    """

    hang_up_s: float | None = None
    read_s: float = 0.0


class Callers:
    """Makes the calls of one world, and notes what they saw."""

    def __init__(self, world: SwarmWorld) -> None:
        self._world = world
        self._rng = world.rng
        self._options = world.options.callers
        self._count = 0

    async def load(self, until: float) -> None:
        """Call at random moments until the instant ``until``; wait for every answer."""
        options, rng = self._options, self._rng
        rate_per_s = min(options.rate_per_s, CALLS_MAX / until)
        async with asyncio.TaskGroup() as group:
            while loop_now() < until and self._count < CALLS_MAX:
                size = options.burst_size if rng.random() < options.burst_chance else 1
                for _ in range(size):
                    call = self._draw_call()
                    group.create_task(self._run(call, self._draw_manner(call)))
                await asyncio.sleep(rng.expovariate(rate_per_s))
            await asyncio.sleep(until - loop_now())

    async def each(self, routes: Iterable[RouteName], *, is_stream: bool) -> list[Seen]:
        """Call each route once, without haste; return what was seen."""
        constraints = Constraints(within_s=ALONE_S)
        formats = tuple(KIND_NAMES)
        calls = []
        for number, route in enumerate(routes):
            format_ = formats[number % len(formats)]
            body = _body(QUESTIONS[0], format_, is_stream=is_stream)
            calls.append(self._call(route, body, format_, constraints))
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(self._run(call, Manner()))
        return [self._world.traces.calls[call.id].seen for call in calls]

    # --- one call ------------------------------------------------------------------------------

    async def _run(self, call: Call, manner: Manner) -> None:
        CURRENT_CALL.set(call.id)
        seen = Seen(route=call.route.name, started_at=loop_now(), deadline_at=call.deadline_at)
        trace = self._world.traces.calls[call.id] = Trace(call=call, seen=seen)
        patience = asyncio.timeout(manner.hang_up_s)
        try:
            async with patience:
                await self._ask(trace, manner)
        except TimeoutError as error:
            trace.hung_up = patience.expired()
            if not trace.hung_up:
                self._escaped(call, error)
        except Exception as error:  # noqa: BLE001 - the root of a caller's task
            self._escaped(call, error)
        seen.ended_at = loop_now()

    async def _ask(self, trace: Trace, manner: Manner) -> None:
        call, seen = trace.call, trace.seen
        try:
            answer = await self._world.engine.answer(call)
        except CallError as error:
            seen.status, seen.code, seen.message = error.status, error.code, error.message
            seen.attempts = tuple(outcome.label() for outcome in error.attempts)
            self.is_late(trace, call.arrived_at)
        else:
            self.is_late(trace, call.arrived_at)
            if isinstance(answer, PlainAnswer):
                read_plain(seen, answer, call.format)
            else:
                await read_stream(seen, _Reader(self, trace, answer, manner.read_s), call.format)
        trace.answers += 1

    def is_late(self, trace: Trace, asked_at: float) -> None:
        """Check that what was asked for at ``asked_at`` came by the deadline; a suspended machine
        answers when it wakes.
        """
        due_at = max(trace.call.deadline_at, asked_at, self._world.jumped_at)
        if loop_now() > due_at + LATE_S:
            what = f"{trace.call.id}: due {due_at:.3f}, came {loop_now():.3f}"
            self._world.traces.breaks("no_late_answer", what)

    def _escaped(self, call: Call, error: BaseException) -> None:
        said = "".join(traceback.format_exception(error))[-2000:]
        self._world.traces.breaks("only_call_errors", f"{call.id}: {said}")

    # --- drawing -------------------------------------------------------------------------------

    def _draw_manner(self, call: Call) -> Manner:
        rng, options = self._rng, self._options
        leaves, is_slow = rng.random() < options.hang_up_share, rng.random()
        within_s = call.deadline_at - call.arrived_at
        hang_up_s = rng.choice((rng.uniform(0.0, 1.0), rng.uniform(0.0, within_s)))
        return Manner(
            hang_up_s=hang_up_s if leaves else None,
            read_s=options.slow_read_s if is_slow < options.slow_reader_share else 0.0,
        )

    def _draw_call(self) -> Call:
        rng, options = self._rng, self._options
        routes = self._world.options.routes
        tasks = [route for route in routes if route.is_task]
        route = rng.choice(tasks if rng.random() < TASKS_SHARE else routes)
        is_anthropic = rng.random() < options.anthropic_share
        format_ = WireFormat.ANTHROPIC_MESSAGES if is_anthropic else WireFormat.OPENAI_CHAT
        question = LONG if rng.random() < options.long_prompt_share else rng.choice(QUESTIONS)
        body = _body(question, format_, is_stream=rng.random() < options.stream_share)
        if rng.random() < 0.2:  # noqa: PLR2004 - a chance
            body["max_tokens"] = rng.choice((2, 10, 4000))
        return self._call(route.name, body, format_, _draw_constraints(rng, self._world))

    def _call(
        self,
        route_name: RouteName,
        body: dict[str, object],
        format: WireFormat,  # noqa: A002 - the word of the domain
        constraints: Constraints,
    ) -> Call:
        self._count += 1
        route = self._world.catalogue.resolve(route_name)
        if constraints.budget_usd is None and route.budget_usd is not None:
            constraints = replace(constraints, budget_usd=route.budget_usd)
        encoded = json.dumps({"model": route_name, **body}).encode()
        now = loop_now()
        return Call(
            id=CallId(f"call_{self._count:06d}"),
            arrived_at=now,
            deadline_at=now + (constraints.within_s or route.within_s),
            format=format,
            route=route,
            body=encoded,
            facts=codec(format).inspect_request(encoded),
            constraints=constraints,
        )


class _Reader:
    """Reads a stream at its caller's pace; fulfils ``StreamAnswer`` and, to the one behind,
    ``Sink``.
    """

    def __init__(self, callers: Callers, trace: Trace, answer: StreamAnswer, read_s: float) -> None:
        self._callers = callers
        self._trace = trace
        self._answer = answer
        self._read_s = read_s
        self._asked_at = 0.0
        self._sink: Sink | None = None
        self.disclosure: Disclosure = answer.disclosure

    async def send_to(self, sink: Sink) -> None:
        self._sink = sink
        await self.room()
        await self._answer.send_to(self)
        self._callers.is_late(self._trace, self._asked_at)
        self.disclosure = self._answer.disclosure

    def push(self, chunk: bytes) -> bool:
        assert self._sink is not None, "given before it was asked for"
        self._callers.is_late(self._trace, self._asked_at)
        self._asked_at = loop_now()
        return self._sink.push(chunk) and not self._read_s

    async def room(self) -> None:
        if self._read_s:
            await asyncio.sleep(self._read_s)
        self._asked_at = loop_now()

    async def aclose(self) -> None:
        await self._answer.aclose()
        self.disclosure = self._answer.disclosure


def _body(
    question: str,
    format: WireFormat,  # noqa: A002 - the word of the domain
    *,
    is_stream: bool,
) -> dict[str, object]:
    body: dict[str, object] = {
        "input" if format is WireFormat.OPENAI_RESPONSES else "messages": [
            {"role": "user", "content": question}
        ],
        "stream": is_stream,
    }
    if format is WireFormat.ANTHROPIC_MESSAGES:
        body["max_tokens"] = 400
    return body


def _draw_constraints(rng: random.Random, world: SwarmWorld) -> Constraints:
    options = world.options.callers
    within_s = rng.choice((0.2, 1.0, 3.0)) if rng.random() < options.short_share else None
    is_batch = rng.random() < options.batch_share
    wishes = Constraints(
        within_s=within_s, priority=Priority.BATCH if is_batch else Priority.INTERACTIVE
    )
    if rng.random() >= options.constrained_share:
        return wishes
    return replace(
        wishes,
        budget_usd=rng.choice((None, 0.0001, 0.001, 1.0)),
        first_token_s=rng.choice((None, 0.5, 2.0)),
        quality=rng.choice((None, 0.6, 0.95)),
        is_quality_hard=rng.random() < 0.3,  # noqa: PLR2004 - a chance
        may_hedge=rng.random() < 0.8,  # noqa: PLR2004 - a chance
        may_use_cache=rng.random() < 0.8,  # noqa: PLR2004 - a chance
        on_break=rng.choice((None, *OnBreak)),
    )
