"""The observer: takes note of events on the path, counts and hands them on off it.

On the path of a call stands one append to a bounded buffer. Once a second, or after so many events
that it takes a fraction of a millisecond, the loop empties the buffer: everything is counted, and
what is sampled goes to the exporter's thread with the attempts of its call. Nothing more happens,
and nothing of OpenTelemetry is imported, where no exporter is configured.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict, deque
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from sidecar import clock
from sidecar.events import (
    AttemptFinished,
    CallFinished,
    CallRefused,
    PassageFinished,
    ProbeFinished,
)
from sidecar.metrics import Kind, Observed, Registry, TracePoint
from sidecar.telemetry.counting import Counting
from sidecar.telemetry.names import LATEST, V1_41
from sidecar.telemetry.prometheus import OPENMETRICS, content_type, exposition
from sidecar.telemetry.roots import logical_id_of, probe_trace_id
from sidecar.tracing import Propagation, trace_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sidecar.catalogue import Catalogue
    from sidecar.events import Event
    from sidecar.metrics import Labels
    from sidecar.telemetry.environment import Exporting
    from sidecar.telemetry.exporter import Exporter
    from sidecar.telemetry.settings import TelemetrySettings

log = logging.getLogger("sidecar")

BUFFER_MAX = 20_000
COUNT_AT = 128
"""Events after which the buffer is emptied early: at 3 us each the loop is held for 0.4 ms."""
COUNT_S = 1.0
GOODBYE_S = 2.0
"""How long the last batch may take: a dead collector must not hold up the end of the pod."""
PENDING_MAX = 4096
"""Calls whose attempts wait for their end."""
ENDED_MAX = 1024
"""Ended calls that a late attempt is still recognised by."""


_TRACED = (AttemptFinished, CallFinished, CallRefused, PassageFinished)


class Tracing(Protocol):
    """What of the engine depends on telemetry."""

    propagation: Propagation
    keeps_content: bool


class Telemetry:
    """Owns the buffer, the registry and the exporter. An ``Observer``."""

    def __init__(
        self,
        exporting: Exporting,
        settings: TelemetrySettings,
        catalogue: Callable[[], Catalogue],
    ) -> None:
        self.exporting = exporting
        self.registry = Registry()
        self.lost = 0
        names = LATEST if exporting.is_latest else V1_41
        self._names = names
        self._settings = settings
        self._catalogue = catalogue
        self._counting = Counting(self.registry, names, catalogue)
        self._buffer: deque[Event] = deque(maxlen=BUFFER_MAX)
        self._enough = asyncio.Event()
        self._pending: OrderedDict[str, list[AttemptFinished]] = OrderedDict()
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._exporter: Exporter | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._is_tracing = exporting.traces is not None
        self.registry.add(*self._own_instruments())

    def attend(self, parts: Tracing) -> None:
        """Have the engine tell what is wanted of it: content, and traces to providers."""
        parts.propagation = self.propagation
        parts.keeps_content = self.keeps_content

    @property
    def keeps_content(self) -> bool:
        """Return whether somebody wants to see what was said."""
        return self._is_tracing and (self._settings.content or self.exporting.captures_content)

    @property
    def waiting(self) -> int:
        """Return how many calls wait to be sent."""
        return 0 if self._exporter is None else self._exporter.waiting

    @property
    def propagation(self) -> Propagation:
        """Return what providers that may hear of traces are told."""
        return Propagation(sampler=self.exporting.sampler if self._is_tracing else None)

    # --- taking note ---------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Take note of ``event``."""
        buffer = self._buffer
        waiting = len(buffer)
        buffer.append(event)
        if waiting >= COUNT_AT:
            self._enough.set()
            self.lost += waiting == BUFFER_MAX

    def absorb(self, now: float, wall: float) -> None:
        """Count what came, and hand on what is sampled; ``now`` is the loop's clock."""
        offset_s, buffer, count = wall - now, self._buffer, self._counting.count
        if not self._is_tracing:
            while buffer:
                count(buffer.popleft())
            return
        while buffer:
            event = buffer.popleft()
            if not self.exporting.propagates and isinstance(event, _TRACED) and event.trace:
                event = replace(event, trace=None)
            trace_id = self._sampled(event)
            if trace_id is None:
                count(event)
                continue
            point = None
            if isinstance(event, CallFinished) and self.exporting.has_exemplars:
                point = TracePoint(
                    trace_id=trace_id,
                    span_id=logical_id_of(event.call_id),
                    at=event.at + offset_s,
                )
            count(event, point)
            self._hand_on(event, offset_s)

    def _sampled(self, event: Event) -> str | None:
        """Return the trace of ``event`` if it is recorded."""
        sampler = self.exporting.sampler
        if isinstance(event, ProbeFinished):
            trace_id, parent = probe_trace_id(event), None
        elif isinstance(event, _TRACED):
            parent = event.trace
            if parent is None and sampler.ratio <= 0.0:
                return None
            trace_id = trace_id_of(event.call_id) if parent is None else parent.trace_id
        else:
            return None
        return trace_id if sampler.takes(trace_id, parent) else None

    def _hand_on(self, event: Event, offset_s: float) -> None:
        from sidecar.telemetry.exporter import Item  # noqa: PLC0415 - only with an exporter

        exporter, catalogue = self._exporter, self._catalogue()
        if exporter is None:
            return
        if isinstance(event, AttemptFinished):
            self._keep(event, offset_s)
            return
        attempts: tuple[AttemptFinished, ...] = ()
        if isinstance(event, CallFinished):
            attempts = tuple(self._pending.pop(event.call_id, ()))
            self._ended[event.call_id] = len(attempts)
            if len(self._ended) > ENDED_MAX:
                self._ended.popitem(last=False)
        if isinstance(event, CallFinished | CallRefused | PassageFinished | ProbeFinished):
            exporter.offer(
                Item(event=event, attempts=attempts, catalogue=catalogue, offset_s=offset_s)
            )

    def _keep(self, event: AttemptFinished, offset_s: float) -> None:
        """Let an attempt wait for its call's end, or send it after a call that has ended."""
        from sidecar.telemetry.exporter import Item  # noqa: PLC0415 - only with an exporter

        before = self._ended.get(event.call_id)
        if before is None:
            self._pending.setdefault(event.call_id, []).append(event)
            if len(self._pending) > PENDING_MAX:
                self._pending.popitem(last=False)
                self.lost += 1
        elif self._exporter is not None:
            self._ended[event.call_id] = before + 1
            late = Item(
                event=None,
                attempts=(event,),
                catalogue=self._catalogue(),
                offset_s=offset_s,
                before=before,
            )
            self._exporter.offer(late)

    # --- asking --------------------------------------------------------------------------------

    def scrape(self, accept: str) -> tuple[str, str]:
        """Return content type and text for a Prometheus that accepts ``accept``."""
        self._absorb_now()
        kind = content_type(accept)
        return kind, self.exposition(is_openmetrics=kind == OPENMETRICS)

    def exposition(self, *, is_openmetrics: bool = False) -> str:
        """Return what has been counted so far as text."""
        return exposition(self.registry.collect(), is_openmetrics=is_openmetrics)

    def _own_instruments(self) -> tuple[Observed, ...]:
        """Return what is known of telemetry itself."""

        def lost() -> Iterator[tuple[Labels, float]]:
            yield ("events",), self.lost
            exporter = self._exporter
            for signal, amount in ({} if exporter is None else exporter.dropped).items():
                yield (signal,), amount

        def failed() -> Iterator[tuple[Labels, float]]:
            exporter = self._exporter
            for signal, amount in ({} if exporter is None else exporter.failures).items():
                yield (signal,), amount

        def waiting() -> Iterator[tuple[Labels, float]]:
            yield (), self.waiting

        def exported() -> Iterator[tuple[Labels, float]]:
            yield (), 0 if self._exporter is None else self._exporter.exported_spans

        counter, gauge = Kind.COUNTER, Kind.GAUGE
        table = (
            ("dropped", counter, "{item}", "Events, calls' traces and readings lost.", lost),
            ("failed_exports", counter, "{request}", "Requests no collector took.", failed),
            ("queued_calls", gauge, "{call}", "Traces that wait to be sent.", waiting),
            ("exported_spans", counter, "{span}", "Spans that a collector took.", exported),
        )
        return tuple(
            [
                Observed(
                    name=f"sidecar.telemetry.{name}",
                    kind=kind,
                    unit=unit,
                    meaning=meaning,
                    labels=("signal",) if read in (lost, failed) else (),
                    read=read,
                )
                for name, kind, unit, meaning, read in table
            ]
        )

    # --- running -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to count, and to export where that is configured."""
        for problem in self.exporting.problems:
            log.warning("telemetry: %s", problem)
        exporting = self.exporting
        loop = asyncio.get_running_loop()
        loops = [self._count_on()]
        if exporting.traces is not None or exporting.metrics is not None:
            self._exporter = self._open()
        if self._exporter is not None and exporting.metrics is not None:
            loops.append(self._push_on())
        # Owned here and ended in `aclose`.
        self._tasks = tuple([loop.create_task(one) for one in loops])
        for task in self._tasks:
            task.add_done_callback(_tell_death)

    def _open(self) -> Exporter | None:
        from sidecar.telemetry.redaction import Redactor  # noqa: PLC0415 - only with an exporter

        try:
            from sidecar.telemetry.exporter import Exporter  # noqa: PLC0415 - as above
        except ImportError:
            log.warning("telemetry: nothing is exported; install opentelemetry-proto")
            self._is_tracing = False
            return None
        redactor = Redactor(self._settings) if self.keeps_content else None
        exporter = Exporter(self.exporting, self._names, redactor, clock.wall())
        exporter.start()
        return exporter

    async def aclose(self) -> None:
        """Send what is left, for a moment at most; may repeat."""
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        if not tasks or self._exporter is None:
            return
        self._absorb_now()
        if self.exporting.metrics is not None:
            self._exporter.offer_metrics(self.registry.collect(), clock.wall())
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.to_thread(self._exporter.close, GOODBYE_S)

    async def _count_on(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COUNT_S):
                    await self._enough.wait()
            self._enough.clear()
            self._absorb_now()

    async def _push_on(self) -> None:
        """Hand the readings over each interval; they are read here, where nothing moves."""
        never = asyncio.Event()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.exporting.interval_s):
                    await never.wait()
            self._absorb_now()
            if self._exporter is not None:
                self._exporter.offer_metrics(self.registry.collect(), clock.wall())

    def _absorb_now(self) -> None:
        self.absorb(clock.now(), clock.wall())


def _tell_death(task: asyncio.Task[None]) -> None:
    """These loops never end by an error: if one does, that is a defect to be seen."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a loop of telemetry died", exc_info=error)
