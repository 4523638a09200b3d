"""One design through one timeline in simulated time: the calls, the weather, the providers' bills.

Every design meets the same calls at the same instants, and the same weather. The engine is the
production one with its background loops; a program tied to one provider does what its vendor's SDK
does, two retries (``policies.py``). Before the first piece both live through a calm warm-up, which
is not counted.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.domain import Call, CallId, WireFormat
from sidecar.engine.answer import PlainAnswer
from sidecar.engine.engine import Engine
from sidecar.errors import CallError
from sidecar.simulate.client import Result
from sidecar.simulate.loop import simulate, throttle_on_loop_time
from sidecar.simulate.policies import Sdk
from sidecar.simulate.seen import Seen, read_plain, read_stream
from sidecar.simulate.whatif.fleet import CURRENT, Fleet, Record
from sidecar.simulate.whatif.tally import HOUR_S, Tally, hour_of_week
from sidecar.value import value
from sidecar.wire.formats import codec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.domain import RequestFacts
    from sidecar.events import Event
    from sidecar.simulate.whatif.inputs import Flow
    from sidecar.simulate.whatif.timeline import Piece, Timeline
    from sidecar.upstream.simulated import LogEntry

WARM_S = 300.0
OUTPUT_SIGMA = 0.5
"""Of the logarithm of an answer's length; its mean is the workload's."""
LATE_S = 0.05
CHARS_PER_TOKEN = 4
FORMAT = WireFormat.OPENAI_CHAT


@value
class Design:
    """What is played: the engine with a fleet, or a program with one provider of it."""

    name: str
    fleet: Fleet
    is_engine: bool = True


@value
class _Arrival:
    at: float
    real_at: float
    flow: int
    is_stream: bool
    output_tokens: int


@value
class _Asking:
    """What is the same for all calls of a flow, streamed or not."""

    body: bytes
    facts: RequestFacts


class _Silent:
    """An observer that looks away: callers and providers are asked instead."""

    def on_event(self, event: Event) -> None:
        """Take no note."""


def play(design: Design, timeline: Timeline, flows: Sequence[Flow], seed: int) -> Tally:
    """Return what ``design`` made of the period."""

    async def main() -> Tally:
        return await _Play(design, timeline, flows, seed).run()

    with throttle_on_loop_time():
        return simulate(main())


class _Play:
    """One play under way."""

    def __init__(
        self, design: Design, timeline: Timeline, flows: Sequence[Flow], seed: int
    ) -> None:
        fleet = design.fleet
        self.tally = Tally(timeline)
        self.upstream = fleet.upstream(seed, self._on_probe)
        self.endpoints = fleet.endpoints
        self._fleet = fleet
        self._timeline = timeline
        self._flows = flows
        self._seed = seed
        self._calls = 0
        self._piece: Piece | None = None  # None: the warm-up
        self._routes = [fleet.catalogue.resolve(flow.route) for flow in flows]
        self._asking = [
            tuple(_asking(flow, is_stream=one) for one in (False, True)) for flow in flows
        ]
        self._engine = self._make_engine() if design.is_engine else None
        self._sdk = Sdk(self, is_list=False)

    def _make_engine(self) -> Engine:
        return Engine(
            catalogue=self._fleet.catalogue,
            settings=self._fleet.config.settings,
            upstream=self.upstream,
            observer=_Silent(),
            rng=random.Random(f"engine/{self._seed}"),
        )

    async def run(self) -> Tally:
        """Play every piece; return the tally."""
        async with asyncio.TaskGroup() as group:
            background = None
            if self._engine is not None:
                background = group.create_task(self._engine.background())
            async with asyncio.TaskGroup() as callers:
                first = self._timeline.pieces[0]
                calm = replace(first, length_s=WARM_S, state=(), active=())
                await self._perform(calm, None, callers)
                for number, piece in enumerate(self._timeline.pieces):
                    await self._perform(piece, number, callers)
            if background is not None:
                background.cancel()
        self.tally.settle()
        return self.tally

    async def _perform(self, piece: Piece, number: int | None, callers: asyncio.TaskGroup) -> None:
        """Let a piece begin and its calls come in; those open at its end go on."""
        self._piece = None if number is None else piece
        for name, faults in self._fleet.faults(piece).items():
            self.upstream.providers[name].faults = faults
        begin = loop_now()
        for arrival in self._arrivals(piece, number, begin):
            await asyncio.sleep(arrival.at - loop_now())
            callers.create_task(self._call(arrival, number))
        await asyncio.sleep(begin + piece.length_s - loop_now())

    def _arrivals(self, piece: Piece, number: int | None, begin: float) -> list[_Arrival]:
        """Return the calls of a piece: of each flow, at random moments, by the hour's rate."""
        rng = random.Random(f"{self._seed}/calls/{number}")
        found: list[_Arrival] = []
        end_s = piece.start_s + piece.length_s
        at_s = piece.start_s
        while at_s < end_s:
            hour = int(at_s // HOUR_S)
            until_s = min(end_s, (hour + 1) * HOUR_S)
            flowing = [one for one in enumerate(self._flows) if one[1].is_in(hour_of_week(hour))]
            for place, flow in flowing:
                moment = at_s + rng.expovariate(flow.calls_per_s)
                while moment < until_s:
                    found.append(
                        _Arrival(
                            at=begin + moment - piece.start_s,
                            real_at=moment,
                            flow=place,
                            is_stream=rng.random() < flow.stream_share,
                            output_tokens=_length(flow, rng.gauss()),
                        )
                    )
                    moment += rng.expovariate(flow.calls_per_s)
            at_s = until_s
        return sorted(found, key=lambda one: (one.at, one.flow))

    async def _call(self, arrival: _Arrival, number: int | None) -> None:
        call = self._make_call(arrival)
        record = Record(
            route=self._flows[arrival.flow].route,
            piece=-1 if number is None else number,
            started_at=call.arrived_at,
            deadline_at=call.deadline_at,
            output_tokens=arrival.output_tokens,
        )
        CURRENT.set(record)
        if self._engine is None:
            await self._by_sdk(call, record)
        else:
            await self._by_engine(self._engine, call, record)
        if number is not None:
            self.tally.note(record, arrival.real_at)

    def _make_call(self, arrival: _Arrival) -> Call:
        asking = self._asking[arrival.flow][arrival.is_stream]
        route = self._routes[arrival.flow]
        now = loop_now()
        self._calls += 1
        return Call(
            id=CallId(f"call_{self._calls:08d}"),
            arrived_at=now,
            deadline_at=now + route.within_s,
            format=FORMAT,
            route=route,
            body=asking.body,
            facts=asking.facts,
        )

    async def _by_engine(self, engine: Engine, call: Call, record: Record) -> None:
        """Answer by the engine, and look at the bytes as a caller would."""
        seen = Seen(route=call.route.name, started_at=call.arrived_at)
        try:
            answer = await engine.answer(call)
            if isinstance(answer, PlainAnswer):
                read_plain(seen, answer, FORMAT)
            else:
                await read_stream(seen, answer, FORMAT)
        except CallError as error:
            seen.status, seen.code = error.status, error.code
        record.ended_at = loop_now()
        record.is_good = seen.is_good and record.ended_at <= call.deadline_at + LATE_S
        record.is_degraded = seen.degraded is not None

    async def _by_sdk(self, call: Call, record: Record) -> None:
        """Answer as a vendor's SDK does."""
        result = Result(
            started_at=call.arrived_at,
            deadline_at=call.deadline_at,
            is_stream=call.facts.is_stream,
        )
        await self._sdk.answer(call, result)
        record.ended_at = result.ended_at = loop_now()
        record.is_good = result.is_good

    def _on_probe(self, entry: LogEntry) -> None:
        if self._piece is not None:
            self.tally.note_probe(self._piece, entry)


def _asking(flow: Flow, *, is_stream: bool) -> _Asking:
    """Return a request of about ``flow.prompt_tokens``."""
    question = "abc " * (flow.prompt_tokens * CHARS_PER_TOKEN // 4)
    body: dict[str, object] = {
        "model": flow.route,
        "messages": [{"role": "user", "content": question}],
    }
    if is_stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    encoded = json.dumps(body).encode()
    facts = codec(FORMAT).inspect_request(encoded)
    return _Asking(body=encoded, facts=replace(facts, model=flow.route, is_stream=is_stream))


def _length(flow: Flow, z: float) -> int:
    """Return the tokens of an answer: lognormal, of the flow's mean."""
    factor = math.exp(OUTPUT_SIGMA * z - OUTPUT_SIGMA**2 / 2)
    return max(1, round(flow.output_tokens * factor))
