"""What becomes of a stream that breaks after its first content, where a route says more than
``error``: it is kept back and tried again (``restart``), or another model goes on (``continue``).
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sidecar.clock import now
from sidecar.domain import Constraints, OnBreak, Route, RouteName, WireFormat
from sidecar.errors import DrainingError
from sidecar.simulate.evidence import outcomes, requests
from sidecar.simulate.world import ALPHA, BETA, GAMMA, LARGE, World, play
from sidecar.upstream.simulated import Ended, Fault, FaultKind
from sidecar.upstream.simulated_memory import KIND_NAMES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sidecar.engine.ports import OutboundRequest, UpstreamResponse

AFTER = 10
BREAKS = {
    "reset": (Fault(kind=FaultKind.RESET_AFTER, after_tokens=AFTER), "RESET_MID"),
    "no-marker": (Fault(kind=FaultKind.EOF_AFTER, after_tokens=AFTER), "TRUNC"),
    "malformed": (Fault(kind=FaultKind.MALFORMED, after_tokens=AFTER), "TRUNC"),
    "error-event": (Fault(kind=FaultKind.STREAM_ERROR, after_tokens=AFTER), None),
    "stall": (Fault(kind=FaultKind.DRIP, factor=1000.0), "STALL_MID"),
    "slashes": (Fault(kind=FaultKind.DEGENERATE), "DEGENERATE"),
}
ROUTES = (
    Route(
        name=RouteName("whole"),
        tiers=((ALPHA,), (BETA,), (GAMMA,)),
        within_s=60.0,
        on_break=OnBreak.RESTART,
    ),
    Route(
        name=RouteName("joined"),
        tiers=((ALPHA,), (BETA,), (GAMMA,)),
        within_s=60.0,
        on_break=OnBreak.CONTINUE,
    ),
    Route(name=RouteName("plain"), tiers=((ALPHA,), (BETA,)), within_s=60.0),
)
ENDS = {
    WireFormat.OPENAI_CHAT: (b"[DONE]", 1),
    WireFormat.ANTHROPIC_MESSAGES: (b'"message_stop"', 1),
    WireFormat.GEMINI: (b'"finishReason"', 0),
}
"""What ends a stream, and how often its opening is said."""
FORMATS = pytest.mark.parametrize("format", [*KIND_NAMES, WireFormat.GEMINI])
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


# --- restart -----------------------------------------------------------------------------------


@FORMATS
@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_stream_is_tried_again_unseen(
    broken: str,
    format: WireFormat,  # noqa: A002 - the word of the domain
) -> None:
    """The caller sees one whole answer of one model; the break is in the attempts, and paid for."""
    fault, cls = BREAKS[broken]

    async def scenario(world: World) -> None:
        world.alpha.faults = (fault,)
        await world.call("whole", is_stream=True, format=format)

    world = play(scenario, routes=ROUTES)
    seen = world.seen[0]
    assert seen.is_good
    assert seen.speakers() == ("beta",)
    assert seen.text == "".join(f"{word} " for word in seen.text.split()).rstrip()
    broke = outcomes(world, ALPHA)[0]
    assert cls in (None, broke.cls.value)
    assert seen.attempts == (f"{ALPHA}:{broke.cls.value}", f"{BETA}:OK")
    assert b"alpha" not in seen.raw.replace(b"alpha/alpha-large", b"")
    assert seen.cost_usd is not None
    assert seen.cost_usd > broke.cost_usd > 0.0


def test_nothing_is_shown_before_the_answer_is_whole() -> None:
    """Not even its head: a failure at the last token must still be able to be a clean error."""

    async def scenario(world: World) -> None:
        await world.call("whole", is_stream=True)
        world.alpha.faults = (BREAKS["reset"][0],)
        world.beta.faults = world.gamma.faults = (BREAKS["reset"][0],)
        await world.call("whole", is_stream=True)

    world = play(scenario, routes=ROUTES)
    whole, none = world.seen
    assert whole.first_at is not None
    assert whole.ended_at - whole.first_at < 0.15, "it comes all at once"
    assert (none.status, none.code, none.raw) == (503, "unavailable", b"")
    assert [label.split(":")[1] for label in none.attempts] == ["RESET_MID"] * 3


def test_a_call_may_ask_for_it() -> None:
    """`x-sidecar-on-break: restart` overrides the route, as `error` does a route that restarts."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (BREAKS["reset"][0],)
        await world.call("plain", is_stream=True, constraints=Constraints(on_break=OnBreak.RESTART))
        await world.call("whole", is_stream=True, constraints=Constraints(on_break=OnBreak.ERROR))

    restarted, broken = play(scenario, routes=ROUTES).seen
    assert restarted.is_good
    assert broken.code == "upstream_interrupted"


def test_a_deadline_in_the_middle_is_an_honest_504() -> None:
    """What is not whole at the deadline is no answer; the caller hears it in time."""

    async def scenario(world: World) -> None:
        world.alpha.models["alpha-large"] = replace(LARGE, output_tokens=2000)
        await world.call("whole", is_stream=True, constraints=Constraints(within_s=8.0))

    world = play(scenario, routes=ROUTES)
    seen = world.seen[0]
    assert (seen.status, seen.code) == (504, "deadline_exceeded")
    assert seen.took_s <= 8.05
    assert requests(world.alpha, is_probe=False)[0].ended is Ended.CANCELLED


def test_a_drain_ends_a_half_read_answer() -> None:
    """An answer still being read when the sidecar stops is our own error, no provider's."""
    ended: list[BaseException | None] = []

    async def scenario(world: World) -> None:
        world.alpha.models["alpha-large"] = replace(LARGE, output_tokens=2000)
        call = world.make_call("whole", is_stream=True)
        task = asyncio.get_running_loop().create_task(world.engine.answer(call))
        await asyncio.sleep(5.0)
        world.engine.interrupt(DrainingError("the sidecar stops"))
        await asyncio.wait([task])
        ended.append(task.exception())
        assert now() == pytest.approx(5.0, abs=0.05)

    world = play(scenario, routes=ROUTES)
    assert isinstance(ended[0], DrainingError)
    assert [one.cls.value for one in outcomes(world, ALPHA)] == ["LOCAL"]


def test_pings_keep_no_answer_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs of life of the connection are none of the model: a stall is one, in spite of them."""

    async def scenario(world: World) -> None:
        open_ = world.upstream.open

        async def _open(request: OutboundRequest, *, connect_s: float) -> UpstreamResponse:
            response = await open_(request, connect_s=connect_s)
            monkeypatch.setattr(response, "read", _first_tokens_then_pings(response.read))
            return response

        monkeypatch.setattr(world.upstream, "open", _open)
        wishes = Constraints(on_break=OnBreak.RESTART)
        await world.call("alone-beta", is_stream=True, constraints=wishes)

    world = play(scenario)
    assert outcomes(world, BETA)[0].cls.value == "STALL_MID"
    assert outcomes(world, BETA)[0].ended_at == pytest.approx(10.5, abs=1.0), "the stall limit"


def _first_tokens_then_pings(read: Callable[[], Awaitable[bytes]]) -> Callable[..., object]:
    """Return a ``read`` that has a comment every 4 s once the first events are through."""
    reads = iter(range(5))

    async def _read() -> bytes:
        if next(reads, None) is not None:
            return await read()
        await asyncio.sleep(4.0)
        return b": still here\n\n"

    return _read


def test_an_answer_kept_back_tells_the_models_pace() -> None:
    """How fast a model writes is learned from what was read, not from what was passed on."""

    async def scenario(world: World) -> None:
        world.beta.models["beta-large"] = replace(LARGE, itl_s=0.05)
        for _ in range(5):
            await world.call(
                "alone-beta", is_stream=True, constraints=Constraints(on_break=OnBreak.RESTART)
            )

    world = play(scenario)
    pace_s = world.engine.health.endpoints[BETA].latency.itl_s(world.seen[-1].ended_at)
    assert pace_s == pytest.approx(0.05, rel=0.1)


# --- continue ----------------------------------------------------------------------------------


@FORMATS
@pytest.mark.parametrize("broken", ["reset", "no-marker", "malformed", "stall"])
def test_another_model_goes_on(
    broken: str,
    format: WireFormat,  # noqa: A002 - the word of the domain
) -> None:
    """Row 19: what was delivered stays, another model's words follow, one stream in one format,
    and the final figures say so.
    """
    fault, cls = BREAKS[broken]

    async def scenario(world: World) -> None:
        world.alpha.faults = (fault,)
        await world.call("joined", is_stream=True, format=format)

    world = play(scenario, routes=ROUTES)
    seen = world.seen[0]
    assert seen.is_good
    assert seen.speakers() == ("alpha", "beta")
    assert seen.degraded == f"L1;continuation;{BETA}"
    assert seen.attempts == (f"{ALPHA}:{cls}", f"{BETA}:OK")
    end, starts = ENDS[format]
    assert seen.raw.count(end) == 1
    opened = seen.raw.count(b'"role":"assistant"')
    assert opened == starts, "the second answer's opening is not the caller's business"
    asked = requests(world.beta, is_probe=False)[0]
    assert asked.prompt_tokens > requests(world.alpha, is_probe=False)[0].prompt_tokens


def test_an_answer_goes_on_once() -> None:
    """A continuation that breaks too is the end, said as any break."""

    async def scenario(world: World) -> None:
        world.alpha.faults = world.beta.faults = (BREAKS["reset"][0],)
        await world.call("joined", is_stream=True)

    world = play(scenario, routes=ROUTES)
    seen = world.seen[0]
    assert not seen.is_complete
    assert seen.code == "upstream_interrupted"
    assert seen.speakers() == ("alpha", "beta")
    assert requests(world.gamma, is_probe=False) == []


@pytest.mark.parametrize(
    "extra",
    [
        {"response_format": {"type": "json_object"}},
        {"tools": TOOLS, "tool_choice": "required"},
        {"n": 2},
    ],
    ids=["json", "tool", "several"],
)
def test_what_is_no_text_is_not_gone_on_with(extra: dict[str, object]) -> None:
    """Two halves of a document or of a tool call make no whole."""

    async def scenario(world: World) -> None:
        world.alpha.faults = (BREAKS["reset"][0],)
        await world.call("joined", is_stream=True, extra=extra)

    world = play(scenario, routes=ROUTES)
    seen = world.seen[0]
    assert seen.code == "upstream_interrupted"
    assert requests(world.beta, is_probe=False) == []


def test_nobody_left_to_go_on_is_told() -> None:
    """Where the others are down, or no time is left, the break is told as in mode error."""

    async def scenario(world: World) -> None:
        down = (Fault(kind=FaultKind.STATUS),)
        world.alpha.faults = (BREAKS["reset"][0],)
        world.beta.faults = world.gamma.faults = down
        await world.call("joined", is_stream=True)

    world = play(scenario, routes=ROUTES)
    seen = world.seen[0]
    assert seen.code == "upstream_interrupted"
    last = [line for line in seen.raw.decode().splitlines() if line.startswith("data:")][-1]
    assert json.loads(last.removeprefix("data:"))["error"]["sidecar"]["endpoint"] == ALPHA
    assert len(seen.text.split()) == AFTER


def test_an_unbroken_stream_is_what_it_was() -> None:
    """Where nothing breaks nobody notices that it could have gone on."""

    async def scenario(world: World) -> None:
        await world.call("joined", is_stream=True)
        await world.call("plain", is_stream=True)

    joined, plain = play(scenario, routes=ROUTES).seen
    assert (joined.text, joined.degraded, joined.endpoint) == (plain.text, None, plain.endpoint)
