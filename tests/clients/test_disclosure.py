"""What an SDK's user learns beside the answer: headers, the closing comment, errors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from sidecar.events import CallFinished
from sidecar.upstream.simulated import Fault, FaultKind

if TYPE_CHECKING:
    import aiohttp

    from tests.clients.conftest import World

HELLO: Any = [{"role": "user", "content": "hello"}]
COST_USD = {"alpha-model": (2, 8), "beta-model": (3, 15)}


async def break_all(world: World, kind: FaultKind, **how: float) -> None:
    """Let every completion at both providers meet ``kind``."""
    for server in world.servers.values():
        await server.set_faults([Fault(kind=kind, **how)])  # type: ignore[arg-type]  # floats


def finished(world: World) -> list[CallFinished]:
    """Return how calls ended."""
    return [event for event in world.seen.events if isinstance(event, CallFinished)]


@pytest.mark.parametrize("model", ["alpha-model", "beta-model"])
async def test_headers(
    for_openai: openai.AsyncOpenAI, for_anthropic: anthropic.AsyncAnthropic, model: str
) -> None:
    """Both SDKs can read who answered, after what, and at which cost."""
    ours = await for_openai.chat.completions.with_raw_response.create(model=model, messages=HELLO)
    theirs = await for_anthropic.messages.with_raw_response.create(
        model=model, max_tokens=99, messages=HELLO
    )
    usage = ours.parse().usage
    assert usage is not None
    input_usd, output_usd = COST_USD[model]
    cost_usd = (usage.prompt_tokens * input_usd + usage.completion_tokens * output_usd) / 1e6
    for headers in (ours.headers, theirs.headers):
        provider = model.removesuffix("-model")
        assert headers["x-sidecar-call-id"].startswith("call_")
        assert headers["x-sidecar-model"] == f"{provider}/{model}"
        assert headers["x-sidecar-route"] == model
        assert headers["x-sidecar-attempts"] == f"{provider}/{model}:OK"
        assert float(headers["x-sidecar-cost-usd"]) == pytest.approx(cost_usd, abs=1e-6)
        assert "x-sidecar-degraded" not in headers
        assert "x-sidecar-dropped" not in headers


async def test_failover_is_disclosed(for_openai: openai.AsyncOpenAI, world: World) -> None:
    """An answer of the second provider names the first one's failure; the caller sees no error."""
    await world.servers["alpha"].set_faults([Fault(kind=FaultKind.STATUS, status=500)])
    raw = await for_openai.chat.completions.with_raw_response.create(
        model="alpha-first", messages=HELLO
    )
    assert raw.headers["x-sidecar-attempts"] == "alpha/alpha-model:S5,beta/beta-model:OK"
    assert (raw.parse().choices[0].message.content or "").startswith("beta:0")
    assert raw.retries_taken == 0


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("model", ["alpha-model", "beta-model"])
async def test_closing_comment(
    world: World, http: aiohttp.ClientSession, path: str, model: str
) -> None:
    """A stream's last line is a comment with the final figures, after the terminal marker."""
    body = {"model": model, "max_tokens": 99, "messages": HELLO, "stream": True}
    async with http.post(world.url + path, json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-sidecar-attempts"].endswith(":COMMITTED")
        assert "x-sidecar-cost-usd" not in answer.headers
        text = (await answer.read()).decode()
        call_id = answer.headers["x-sidecar-call-id"]
    before, _, comment = text.rstrip("\n").rpartition("\n\n: sidecar ")
    assert before.endswith("data: [DONE]" if "chat" in path else 'data: {"type":"message_stop"}')
    figures = json.loads(comment)
    name = f"{model.removesuffix('-model')}/{model}"
    assert (figures["call_id"], figures["model"]) == (call_id, name)
    assert figures["attempts"] == [f"{name}:OK"]
    assert figures["cost_usd"] == pytest.approx(finished(world)[-1].cost_usd)
    assert figures["cost_usd"] > 0


async def test_alias_and_list(
    for_openai: openai.AsyncOpenAI, for_anthropic: anthropic.AsyncAnthropic
) -> None:
    """Routes, models and aliases are listed to both SDKs; an old name still works."""
    names = {model.id async for model in for_openai.models.list()}
    assert {"alpha-first", "alpha-model", "beta-model", "gpt-old"} <= names
    assert {model.id async for model in for_anthropic.models.list()} == names
    assert (await for_openai.models.retrieve("gpt-old")).object == "model"
    assert (await for_anthropic.models.retrieve("alpha-first")).type == "model"
    raw = await for_openai.chat.completions.with_raw_response.create(
        model="gpt-old", messages=HELLO
    )
    assert raw.headers["x-sidecar-model"] == "alpha/alpha-model"


async def test_constraints_in_the_body(for_openai: openai.AsyncOpenAI, world: World) -> None:
    """The ``sidecar`` object holds for the call and never reaches the provider."""
    raw = await for_openai.chat.completions.with_raw_response.create(
        model="alpha-model",
        messages=HELLO,
        extra_body={"sidecar": {"within": "9s", "budget": 0.5, "quality": 0.5}},
    )
    assert "x-sidecar-dropped" not in raw.headers
    assert "sidecar" not in world.alpha.body()


async def test_a_budget_is_kept(
    for_openai: openai.AsyncOpenAI, for_anthropic: anthropic.AsyncAnthropic, world: World
) -> None:
    """A budget bounds the answer's tokens, in either spelling of the wish, so the bill is below."""
    ours = await for_openai.chat.completions.with_raw_response.create(
        model="alpha-model", messages=HELLO, extra_headers={"x-sidecar-budget": "0.003"}
    )
    theirs = await for_anthropic.messages.with_raw_response.create(
        model="alpha-model",
        max_tokens=4000,
        messages=HELLO,
        extra_body={"sidecar": {"budget": 0.003}},
    )
    for headers in (ours.headers, theirs.headers):
        assert 0 < float(headers["x-sidecar-cost-usd"]) <= 0.003
    assert all(json.loads(post.body)["max_tokens"] <= 375 for post in world.alpha.posts())


async def test_unknown_model(
    for_openai: openai.AsyncOpenAI, for_anthropic: anthropic.AsyncAnthropic
) -> None:
    """A name that leads nowhere is each SDK's NotFoundError, with what there is."""
    with pytest.raises(openai.NotFoundError, match="alpha-first") as ours:
        await for_openai.chat.completions.create(model="nobody", messages=HELLO)
    assert ours.value.code == "unknown_model"
    with pytest.raises(anthropic.NotFoundError, match="alpha-first"):
        await for_anthropic.messages.create(model="nobody", max_tokens=9, messages=HELLO)


async def test_infeasible(
    for_openai: openai.AsyncOpenAI, for_anthropic: anthropic.AsyncAnthropic, world: World
) -> None:
    """A budget that nothing can meet is 422, says what could be met, and costs nothing."""
    wish: Any = {"sidecar": {"budget": 0.0000001}}
    with pytest.raises(openai.UnprocessableEntityError, match="at least") as ours:
        await for_openai.chat.completions.create(
            model="alpha-first", messages=HELLO, extra_body=wish
        )
    assert ours.value.response.headers["x-sidecar-error"] == "infeasible"
    with pytest.raises(anthropic.UnprocessableEntityError, match="at least"):
        await for_anthropic.messages.create(
            model="alpha-first", max_tokens=9, messages=HELLO, extra_body=wish
        )
    assert world.alpha.posts() == world.beta.posts() == []


async def test_deadline(
    for_openai: openai.AsyncOpenAI, for_anthropic: anthropic.AsyncAnthropic, world: World
) -> None:
    """A deadline that passes is 504 on the first try; the SDK does not try again."""
    await break_all(world, FaultKind.HANG)
    with pytest.raises(openai.InternalServerError) as ours:
        await for_openai.chat.completions.create(
            model="alpha-model", messages=HELLO, extra_body={"sidecar": {"within": "700ms"}}
        )
    with pytest.raises(anthropic.InternalServerError) as theirs:
        await for_anthropic.messages.create(
            model="beta-model",
            max_tokens=9,
            messages=HELLO,
            extra_headers={"x-sidecar-within": "700ms"},
        )
    for error in (ours.value, theirs.value):
        assert error.status_code == 504
        assert error.response.headers["x-sidecar-error"] == "deadline_exceeded"
        assert error.response.headers["x-should-retry"] == "false"
    assert len(world.alpha.posts()) == len(world.beta.posts()) == 1


async def test_patience_is_heard(for_openai: openai.AsyncOpenAI, world: World) -> None:
    """The SDK's own timeout is the deadline: our error comes before it gives up and tries again."""
    await break_all(world, FaultKind.HANG)
    hasty = for_openai.with_options(timeout=2.0)
    with pytest.raises(openai.InternalServerError) as error:
        await hasty.chat.completions.create(model="alpha-model", messages=HELLO)
    assert error.value.status_code == 504
    assert len(finished(world)) == 1


async def test_all_down(
    for_openai: openai.AsyncOpenAI, for_anthropic: anthropic.AsyncAnthropic, world: World
) -> None:
    """All down is 503 with every attempt; an SDK told not to retry makes exactly one request."""
    await break_all(world, FaultKind.STATUS, status=500)
    with pytest.raises(openai.InternalServerError) as ours:
        await for_openai.chat.completions.create(model="alpha-first", messages=HELLO)
    with pytest.raises(anthropic.InternalServerError) as theirs:
        await for_anthropic.messages.create(model="beta-first", max_tokens=9, messages=HELLO)
    for error, order in ((ours.value, ("alpha", "beta")), (theirs.value, ("beta", "alpha"))):
        assert error.status_code == 503
        assert error.response.headers["x-sidecar-error"] == "unavailable"
        assert error.response.headers["x-should-retry"] == "false"
        tried = [f"{name}/{name}-model:S5" for name in order]
        assert error.response.headers["x-sidecar-attempts"] == ",".join(tried)
        assert all(label in str(error) for label in tried)
    assert len(finished(world)) == 2
    assert len(world.alpha.posts()) == len(world.beta.posts()) == 2


async def test_waiting_helps(for_openai: openai.AsyncOpenAI, world: World) -> None:
    """Where a gate opens soon the error says so, and the SDK's own retry is then answered."""
    alpha = world.servers["alpha"]
    busy = Fault(kind=FaultKind.STATUS, status=429, retry_after_s=2.0, end_s=alpha.now_s + 1.0)
    await alpha.set_faults([busy])
    raw = await for_openai.chat.completions.with_raw_response.create(
        model="alpha-model", messages=HELLO, extra_headers={"x-sidecar-within": "2s"}
    )
    assert raw.retries_taken == 1
    assert raw.headers["x-sidecar-attempts"] == "alpha/alpha-model:OK"
    assert len(world.alpha.posts()) == 2


async def test_waiting_does_not_help(for_openai: openai.AsyncOpenAI, world: World) -> None:
    """A gate shut for longer than a user waits is told with its time; the SDK asks once."""
    busy = Fault(kind=FaultKind.STATUS, status=429, retry_after_s=300.0)
    await world.servers["alpha"].set_faults([busy])
    errors = []
    for _ in range(2):  # the first learns of the block, the second meets it
        with pytest.raises(openai.InternalServerError) as error:
            await for_openai.chat.completions.create(model="alpha-model", messages=HELLO)
        errors.append(error.value)
    for one in errors:
        assert one.status_code == 503
        assert one.response.headers["x-should-retry"] == "false"
        assert int(one.response.headers["retry-after"]) == 60  # capped: SDKs sleep as told
    assert len(finished(world)) == 2
    assert len(world.alpha.posts()) == 1


async def test_static_answer(for_anthropic: anthropic.AsyncAnthropic, world: World) -> None:
    """A route with an answer of last resort gives it, marked as degraded."""
    await break_all(world, FaultKind.STATUS, status=500)
    raw = await for_anthropic.messages.with_raw_response.create(
        model="modest", max_tokens=9, messages=HELLO, extra_body={"sidecar": {"within": "3s"}}
    )
    message: Any = await raw.parse()
    assert json.loads(message.content[0].text) == {"label": "unknown"}
    assert raw.headers["x-sidecar-degraded"].startswith("L5;")


async def test_a_providers_refusal(
    for_openai: openai.AsyncOpenAI, for_anthropic: anthropic.AsyncAnthropic, world: World
) -> None:
    """A caller's own mistake comes back as the provider said it, from one provider, once."""
    await break_all(world, FaultKind.STATUS, status=400)
    with pytest.raises(openai.BadRequestError, match="Invalid request"):
        await for_openai.chat.completions.create(model="beta-first", messages=HELLO)
    with pytest.raises(anthropic.BadRequestError, match="Invalid request"):
        await for_anthropic.messages.create(model="beta-first", max_tokens=9, messages=HELLO)
    assert len(world.beta.posts()) == 2
    assert world.alpha.posts() == []


@pytest.mark.parametrize("model", ["alpha-model", "beta-model"])
async def test_a_stream_that_breaks(
    for_openai: openai.AsyncOpenAI,
    for_anthropic: anthropic.AsyncAnthropic,
    world: World,
    model: str,
) -> None:
    """A stream broken after its first words is an error in both SDKs, never a short answer."""
    await break_all(world, FaultKind.RESET_AFTER, after_tokens=4)
    said: list[str] = []

    async def listen() -> None:
        stream = await for_openai.chat.completions.create(model=model, messages=HELLO, stream=True)
        async for chunk in stream:
            said.extend(choice.delta.content or "" for choice in chunk.choices)

    with pytest.raises(openai.APIError, match="broke off"):
        await listen()
    assert "".join(said).count(":") == 4
    with pytest.raises(anthropic.APIError, match="broke off"):
        async with for_anthropic.messages.stream(
            model=model, max_tokens=99, messages=HELLO
        ) as stream:
            await stream.get_final_message()
