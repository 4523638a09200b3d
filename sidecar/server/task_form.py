"""The engine's answer to a task, in the plain form of ``/v1/tasks/{route}``.

A task travels as an OpenAI chat call; here its answer is put into the few members that a shell
wants, together with the facts that other callers read from headers. A provider's refusal stays as
it is: its ``{"error": …}`` is already plain.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.engine.answer import PlainAnswer
from sidecar.server.formed import FormedSink
from sidecar.wire.tasks import TaskFacts, TaskStream, has_schema, render_task_answer

if TYPE_CHECKING:
    from sidecar.domain import Call
    from sidecar.engine.answer import Disclosure, Sink, StreamAnswer

_OK = 200


def as_task(answer: PlainAnswer | StreamAnswer, call: Call) -> PlainAnswer | StreamAnswer:
    """Return ``answer`` in the plain form.

    Raises:
        WireError: a whole answer is not a chat completion, which the engine rules out.
    """
    if not isinstance(answer, PlainAnswer):
        return _TaskStreamAnswer(answer)
    if answer.status != _OK:
        return answer
    body = render_task_answer(
        answer.body, _facts(answer.disclosure), is_structured=has_schema(call.body)
    )
    return replace(answer, body=body)


class _TaskStreamAnswer:
    """A chat stream read as a task's stream; closing it closes the stream behind."""

    def __init__(self, behind: StreamAnswer) -> None:
        self._behind = behind
        self.disclosure = behind.disclosure
        self._form = TaskStream()

    async def send_to(self, sink: Sink) -> None:
        await self._behind.send_to(FormedSink(sink, self._form.feed))
        self.disclosure = self._behind.disclosure
        events = self._form.finish(_facts(self.disclosure))
        if events and not sink.push(events):
            await sink.room()

    async def aclose(self) -> None:
        await self._behind.aclose()


def _facts(disclosure: Disclosure) -> TaskFacts:
    return TaskFacts(
        model=disclosure.endpoint or "",
        route=disclosure.route,
        call_id=disclosure.call_id,
        degraded=disclosure.degraded,
        cost_usd=disclosure.cost_usd,
    )
