"""The thread that makes spans, writes OTLP and sends it; beside the loop, never in its way.

What it is given waits in a bounded queue: when a collector is slow or dead the queue fills, the
newest is dropped and counted, and nobody waits for it. Making spans takes the interpreter's lock
like all Python does, so the thread works in strokes of a fraction of a millisecond and sleeps
between them: a loop that wakes meanwhile gets its turn.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from sidecar.events import CallFinished, CallRefused, PassageFinished
from sidecar.telemetry.calls import CallSpans
from sidecar.telemetry.others import OtherSpans
from sidecar.telemetry.otlp import MetricsWriter, TracesRequest
from sidecar.telemetry.sending import Sender
from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.catalogue import Catalogue
    from sidecar.events import AttemptFinished, ProbeFinished
    from sidecar.metrics import Family
    from sidecar.telemetry.environment import Exporting
    from sidecar.telemetry.names import Names
    from sidecar.telemetry.redaction import Redactor
    from sidecar.telemetry.span import Span

    Told = CallFinished | CallRefused | PassageFinished | ProbeFinished

STROKE = 2
"""Items after which the thread rests: some 0.2 ms of work."""
REST_S = 0.0002
SPANS_PER_REQUEST_MAX = 512
"""A request is turned into bytes in one go, which takes a millisecond for so many."""


@value
class Item:
    """What becomes spans: an event with the attempts of its call; without one, attempts that came
    after their call's end, ``before`` having come in time. ``offset_s`` leads to the epoch.
    """

    event: Told | None
    attempts: tuple[AttemptFinished, ...]
    catalogue: Catalogue
    offset_s: float
    before: int = 0


class Exporter:
    """Owns the thread and the queue. ``offer`` and ``offer_metrics`` are called from the loop."""

    def __init__(
        self, settings: Exporting, names: Names, redactor: Redactor | None, began_at: float
    ) -> None:
        self._settings = settings
        self._calls = CallSpans(names, redactor)
        self._others = OtherSpans(says=redactor is not None)
        self._queue: deque[Item] = deque()
        self._families: tuple[list[Family], float] | None = None
        self._wake, self._closing = threading.Event(), threading.Event()
        self.dropped = {"traces": 0, "metrics": 0}  # spans' calls; requests
        self.exported_spans = 0
        traces_to, metrics_to = settings.traces, settings.metrics
        self._traces = None if traces_to is None else Sender(traces_to, "traces", self._closing)
        self._metrics = None if metrics_to is None else Sender(metrics_to, "metrics", self._closing)
        self._writer = MetricsWriter(
            settings.resource, began_at=began_at, is_delta=settings.is_delta
        )
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send."""
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Return how many items wait."""
        return len(self._queue)

    @property
    def failures(self) -> dict[str, int]:
        """Return how many requests were lost, by signal."""
        senders = [one for one in (self._traces, self._metrics) if one is not None]
        return {one.signal: one.failed for one in senders}

    def offer(self, item: Item) -> None:
        """Queue ``item``, or drop it where the queue is full."""
        waiting = len(self._queue)
        if waiting >= self._settings.queue_max:
            self.dropped["traces"] += 1
            return
        self._queue.append(item)
        if waiting + 1 >= self._settings.batch_max:
            self._wake.set()

    def offer_metrics(self, families: list[Family], at: float) -> None:
        """Hand the latest readings over, in place of any that were not sent yet."""
        if self._families is not None:
            self.dropped["metrics"] += 1
        self._families = (families, at)
        self._wake.set()

    def close(self, within_s: float) -> None:
        """Send what waits, ``within_s`` at most, and end the thread; blocks."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(within_s)

    # --- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            is_last = self._closing.is_set()
            self._wake.wait(None if is_last else self._settings.delay_s)
            self._wake.clear()
            is_last = is_last or self._closing.is_set()
            self._send_metrics()
            self._send_traces()
            if is_last:
                break
        for sender in (self._traces, self._metrics):
            if sender is not None:
                sender.close()

    def _send_metrics(self) -> None:
        given, self._families = self._families, None
        if given is not None and self._metrics is not None:
            self._metrics.send(self._writer.request(*given))

    def _send_traces(self) -> None:
        while self._queue and self._traces is not None:
            request, items = self._batch()
            if self._traces.send(request.written()):
                self.exported_spans += request.count
            else:
                self.dropped["traces"] += items

    def _batch(self) -> tuple[TracesRequest, int]:
        request, items = TracesRequest(self._settings.resource), 0
        while self._queue and items < self._settings.batch_max:
            if request.count >= SPANS_PER_REQUEST_MAX:
                break
            request.add(self._spans(self._queue.popleft()))
            items += 1
            if items % STROKE == 0 and not self._closing.is_set():
                time.sleep(REST_S)
        return request, items

    def _spans(self, item: Item) -> list[Span]:
        event = item.event
        if event is None:
            return self._calls.late(
                item.attempts, item.catalogue, item.offset_s, before=item.before
            )
        if isinstance(event, CallFinished):
            return self._calls.call(event, item.attempts, item.catalogue, item.offset_s)
        if isinstance(event, CallRefused):
            return self._others.refused(event, item.offset_s)
        if isinstance(event, PassageFinished):
            return self._others.passage(event, item.catalogue, item.offset_s)
        return self._others.probe(event, item.catalogue, item.offset_s)
