"""The data plane: one call from its first byte to its last.

The order is the point. Guard and draining are checked before a body is read; admission counts the
call from the moment its body is held until its last byte is out, exactly once; the engine's stream
writes to the caller itself, as long as the caller takes it, and is closed whatever happens, which
is what frees the provider when a caller hangs up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from sidecar import clock
from sidecar.engine.admission import DRAINING_RETRY_AFTER_S
from sidecar.engine.answer import PlainAnswer
from sidecar.errors import CallError, DrainingError, MethodNotAllowedError, NotFoundError
from sidecar.events import CallRefused
from sidecar.server import disclose, listing
from sidecar.server.doors import PATHS, Operation, door_of, format_of
from sidecar.server.event_array import ArrayAnswer
from sidecar.server.intake import Arrival
from sidecar.server.passing import Passer, held_bytes, pass_through, passed_path
from sidecar.server.rescue import Subject, answer_for
from sidecar.tracing import context_in
from sidecar.wire.counting import COUNTINGS

if TYPE_CHECKING:
    from sidecar.domain import Call, RouteName, WireFormat
    from sidecar.engine.admission import Admission
    from sidecar.engine.answer import CountAnswer, StreamAnswer
    from sidecar.events import Observer
    from sidecar.server.doors import Door
    from sidecar.server.exchange import Exchange
    from sidecar.server.feedback import FeedbackDesk
    from sidecar.server.guard import Guard
    from sidecar.server.intake import Intake

STUCK_S = 5.0
"""How long after its deadline a stream may wait for a caller who does not read before it is cut."""
_LIST, _COUNT, _TASK = Operation.LIST, Operation.COUNT, Operation.TASK
_FEEDBACK = Operation.FEEDBACK
"""Bound here, since a member is looked up in its class six times as slowly."""
_JSON = {"content-type": "application/json"}
_EVENT_STREAM = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_SHOWN_CHARS_MAX = 200


class Engine(Passer, Protocol):
    """What answers calls, and passes on what is none."""

    async def answer(self, call: Call) -> PlainAnswer | StreamAnswer:
        """Return a whole answer, or a stream that has its first content.

        Raises:
            CallError: nothing could be had within the call's constraints.
        """

    async def count_tokens(self, call: Call) -> CountAnswer:
        """Return how many input tokens the call's body has; raises as ``answer``."""


class DataPlane:
    """Answers callers; ``admission`` holds the only state."""

    def __init__(
        self,
        engine: Engine,
        admission: Admission,
        intake: Intake,
        guard: Guard,
        feedback: FeedbackDesk | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._feedback = feedback
        self._engine = engine
        self._observer = observer
        self._admission = admission
        self._intake = intake
        self._guard = guard

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        door = door_of(exchange.path, exchange.query, exchange.headers)
        arrival = Arrival(
            id=self._intake.new_id(),
            at=clock.now(),
            format=format_of(exchange.path, exchange.headers) if door is None else door.format,
            headers=exchange.headers,
            model=None if door is None else door.name,
            is_stream=None if door is None else door.is_stream,
        )
        try:
            self._guard.check(exchange.headers)
            if door is None:
                await self._pass_through(exchange, arrival)
            else:
                _check_method(exchange, door)
                await self._serve(exchange, door, arrival)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is answered for
            self._tell_refused(error, arrival)
            allowed = None if door is None else door.method
            await answer_for(error, exchange, _subject(arrival, allow=allowed))

    def _tell_refused(self, error: Exception, arrival: Arrival) -> None:
        """Tell the observer of a request that became no call; the engine tells of all others."""
        if self._observer is not None and isinstance(error, CallError):
            self._observer.on_event(
                CallRefused(
                    at=clock.now(),
                    call_id=arrival.id,
                    code=error.code,
                    status=error.status,
                    arrived_at=arrival.at,
                    format=arrival.format,
                    trace=context_in(arrival.headers),
                )
            )

    async def _pass_through(self, exchange: Exchange, arrival: Arrival) -> None:
        providers = self._intake.catalogue().providers
        target = passed_path(exchange.path, exchange.query, providers)
        if target is None:
            shown = exchange.path[:_SHOWN_CHARS_MAX]
            raise NotFoundError(f"no {shown!r} here; there are {', '.join(PATHS)}")
        self._refuse_if_draining()
        size = held_bytes(exchange)
        self._admission.enter(size)
        try:
            await pass_through(exchange, self._engine, arrival, target, providers[target[0]])
        finally:
            self._admission.leave(size)

    def _refuse_if_draining(self) -> None:
        if self._admission.is_draining:
            message = "the sidecar is stopping and takes no new calls"
            raise DrainingError(message, retry_after_s=DRAINING_RETRY_AFTER_S)

    async def _list(self, exchange: Exchange, door: Door) -> None:
        catalogue = self._intake.catalogue()
        if door.name is None:
            body = listing.list_models(catalogue.names(), door.format)
        else:
            catalogue.resolve(door.name)
            body = listing.show_model(door.name, door.format)
        await exchange.answer(200, _JSON, body)

    async def _serve(self, exchange: Exchange, door: Door, arrival: Arrival) -> None:
        if door.operation is _LIST:
            await self._list(exchange, door)
            return
        if door.operation is _FEEDBACK and self._feedback is not None:
            await exchange.answer(200, _JSON, await self._feedback.handle(exchange))
            return
        self._refuse_if_draining()
        body = await exchange.read_body(self._admission.settings.body_bytes_max)
        size = len(body)
        self._admission.enter(size)
        try:
            call = self._read(door, arrival, body)
            try:
                if door.operation is _COUNT:
                    await self._count(exchange, call)
                else:
                    await self._complete(exchange, call, door)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is answered for
                await answer_for(error, exchange, _subject(arrival, route=call.route.name))
        finally:
            self._admission.leave(size)

    def _read(self, door: Door, arrival: Arrival, body: bytes) -> Call:
        if door.operation is _COUNT:
            return self._intake.count(arrival, body)
        if door.operation is _TASK:
            return self._intake.task(arrival, body)
        return self._intake.completion(arrival, body)

    async def _count(self, exchange: Exchange, call: Call) -> None:
        count = await self._engine.count_tokens(call)
        await _send_count(exchange, count, call.format)

    async def _complete(self, exchange: Exchange, call: Call, door: Door) -> None:
        answer = await self._engine.answer(call)
        if door.operation is _TASK:
            from sidecar.server.task_form import as_task  # noqa: PLC0415 - with the first task

            answer = as_task(answer, call)
        if isinstance(answer, PlainAnswer):
            await _send_plain(exchange, answer)
            return
        cut = asyncio.get_running_loop().call_at(call.deadline_at + STUCK_S, exchange.abort)
        try:
            await _send_stream(exchange, answer, door)
        finally:
            cut.cancel()
            await answer.aclose()


async def _send_plain(exchange: Exchange, answer: PlainAnswer) -> None:
    headers = disclose.headers_of(answer.disclosure, is_stream=False)
    headers["content-type"] = answer.content_type
    if answer.status >= 400:  # noqa: PLR2004  # where HTTP's errors begin
        headers["x-should-retry"] = "false"
    await exchange.answer(answer.status, headers, answer.body)


async def _send_stream(exchange: Exchange, answer: StreamAnswer, door: Door) -> None:
    headers = disclose.headers_of(answer.disclosure, is_stream=True)
    if door.is_array:
        answer = ArrayAnswer(answer)
    await exchange.start_stream(200, headers | (_JSON if door.is_array else _EVENT_STREAM))
    await answer.send_to(exchange)
    if disclose.may_comment(door.format):
        await exchange.write(disclose.closing_comment(answer.disclosure))
    await exchange.end_stream()


async def _send_count(exchange: Exchange, count: CountAnswer, form: WireFormat) -> None:
    headers = disclose.headers_of(count.disclosure, is_stream=False) | _JSON
    if count.is_estimate:
        headers["x-sidecar-estimate"] = "input_tokens"
    await exchange.answer(200, headers, COUNTINGS[form].render(count.input_tokens))


def _check_method(exchange: Exchange, door: Door) -> None:
    if exchange.method != door.method:
        shown = exchange.path[:_SHOWN_CHARS_MAX]
        raise MethodNotAllowedError(f"{shown!r} takes {door.method}, not {exchange.method}")


def _subject(
    arrival: Arrival, *, route: RouteName | None = None, allow: str | None = None
) -> Subject:
    return Subject(format=arrival.format, call_id=arrival.id, route=route, allow=allow)
