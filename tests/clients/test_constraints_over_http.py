"""Constraints over real sockets: in headers and bodies, and what an infeasible call is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.domain import WireFormat
from sidecar.upstream.simulated import Fault, FaultKind
from sidecar.upstream.simulated_server import SimulatedServer
from tests.clients.conftest import recording

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import aiohttp

    from sidecar.app import App
    from tests.clients.conftest import RecordingProvider

CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  alpha: {{kind: openai, base_url: "{alpha}", api_key: {{env: ALPHA_KEY}}}}
  beta: {{kind: anthropic, base_url: "{beta}", api_key: {{env: BETA_KEY}}}}
models:
  small: {{provider: alpha, model: alpha-sim, quality: 0.6, price: {{input: 0.1, output: 0.4}}}}
  large: {{provider: beta, model: beta-sim, quality: 0.9, price: {{input: 30, output: 150}}}}
routes:
  cheap-first: {{tiers: [[small], [large]], within: 20s}}
  wishing: {{tiers: [[small], [large]], within: 20s, quality: 0.8, priority: batch}}
  insisting: {{tiers: [[small], [large]], within: 20s, "quality!": 0.8, first_token: 2s}}
"""
QUESTION = "Say something."
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": QUESTION}]},
    "/v1/messages": {"max_tokens": 50, "messages": [{"role": "user", "content": QUESTION}]},
    "/v1beta/models/{route}:generateContent": {"contents": [{"parts": [{"text": QUESTION}]}]},
}
FORMATS = pytest.mark.parametrize("path", BODIES)
FORMS = pytest.mark.parametrize("is_header", [True, False], ids=["headers", "body"])


class Place:
    """A running sidecar with a small and a large model."""

    def __init__(
        self,
        url: str,
        http: aiohttp.ClientSession,
        alpha: RecordingProvider,
        beta: RecordingProvider,
    ) -> None:
        self.url = url
        self.http = http
        self.alpha = alpha
        self.beta = beta

    async def ask(
        self, path: str, route: str, wishes: dict[str, Any], *, is_header: bool
    ) -> tuple[int, Any, Any]:
        """Return status, headers and decoded body of a call with ``wishes``."""
        body = {**BODIES[path], **({} if "{route}" in path else {"model": route})}
        headers = {"content-type": "application/json"}
        if is_header:
            for name, value in wishes.items():
                text = f"{value}!" if name.endswith("!") else str(value)
                headers[f"x-sidecar-{name.rstrip('!').replace('_', '-')}"] = text
        else:
            body["sidecar"] = wishes
        url = self.url + path.replace("{route}", route)
        async with self.http.post(url, data=json.dumps(body), headers=headers) as response:
            return response.status, response.headers, await response.json()


@pytest.fixture
async def place(
    start_app: Callable[..., Awaitable[App]],
    http: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Place]:
    """The sidecar of ``CONFIG`` and its providers, all running."""
    monkeypatch.setenv("ALPHA_KEY", "alpha-key")
    monkeypatch.setenv("BETA_KEY", "beta-key")
    alpha = recording("alpha", WireFormat.OPENAI_CHAT)
    beta = recording("beta", WireFormat.ANTHROPIC_MESSAGES)
    async with SimulatedServer(alpha) as a, SimulatedServer(beta) as b:
        app = await start_app(CONFIG.format(alpha=a.base_url, beta=b.base_url))
        yield Place(f"http://127.0.0.1:{app.ports['data']}", http, alpha, beta)
        await app.stop()


def ours(body: Any) -> dict[str, Any]:
    """Return what an error says for programs, wherever the format has it."""
    found: dict[str, Any] = body["error"]["sidecar"]
    return found


@FORMATS
@FORMS
async def test_what_is_infeasible_is_told_in_each_format(
    place: Place, path: str, is_header: bool
) -> None:
    """422, the code, what was asked, and what would do: for people and for programs."""
    wishes = {"budget": 0.001, "quality!": 0.8}
    status, headers, body = await place.ask(path, "cheap-first", wishes, is_header=is_header)
    assert (status, headers["x-sidecar-error"]) == (422, "infeasible")
    assert headers["x-should-retry"] == "false"
    found = ours(body)
    if path == "/v1/chat/completions":
        assert body["error"]["code"] == "infeasible"
    assert found["asked"] == {"within": "20s", "budget": 0.001, "quality": 0.8}
    dearer, lesser = found["feasible"]
    assert dearer.keys() == {"budget"}
    assert dearer["budget"] > 0.001
    assert lesser == {"quality": 0.6}
    assert "a quality of at most 0.6 (asked: 0.8)" in body["error"]["message"]
    assert place.alpha.posts() == place.beta.posts() == []
    for change in (dearer, lesser):
        again = {
            **wishes,
            **{f"{name}!".replace("budget!", "budget"): change[name] for name in change},
        }
        status, headers, _ = await place.ask(path, "cheap-first", again, is_header=is_header)
        assert status == 200, "who asks again with what was named is served"
        assert float(headers["x-sidecar-cost-usd"]) <= again["budget"]


@FORMATS
@FORMS
async def test_a_wish_for_quality(place: Place, path: str, is_header: bool) -> None:
    """The better model is asked first; without it the lesser one answers, and says so."""
    _, headers, _ = await place.ask(path, "cheap-first", {"quality": 0.8}, is_header=is_header)
    assert headers["x-sidecar-model"] == "beta/large"
    assert "x-sidecar-degraded" not in headers
    place.beta.faults = (Fault(kind=FaultKind.STATUS, status=500),)
    _, headers, _ = await place.ask(path, "cheap-first", {"quality": 0.8}, is_header=is_header)
    assert headers["x-sidecar-model"] == "alpha/small"
    assert headers["x-sidecar-degraded"] == "L3;S5;alpha/small"


async def test_the_routes_own_constraints(place: Place) -> None:
    """They hold where the call says nothing, and a call may say otherwise."""
    path = "/v1/chat/completions"
    for route in ("wishing", "insisting"):
        _, headers, _ = await place.ask(path, route, {}, is_header=True)
        assert headers["x-sidecar-model"] == "beta/large"
        _, headers, _ = await place.ask(path, route, {"quality": 0.5}, is_header=True)
        assert headers["x-sidecar-model"] == "alpha/small"
    place.beta.faults = (Fault(kind=FaultKind.STATUS, status=500),)
    answers = [await place.ask(path, each, {}, is_header=True) for each in ("wishing", "insisting")]
    assert [status for status, _, _ in answers] == [200, 503]


@FORMS
async def test_a_deadline_over_sockets(place: Place, is_header: bool) -> None:
    """A provider that hangs costs its caller the deadline: 504, and every attempt is named."""
    hang = Fault(kind=FaultKind.HANG)
    place.alpha.faults = place.beta.faults = (hang,)
    wishes = {"within": "400ms", "first_token": "100ms", "priority": "interactive"}
    status, headers, body = await place.ask(
        "/v1/chat/completions", "cheap-first", wishes, is_header=is_header
    )
    assert (status, headers["x-sidecar-error"]) == (504, "deadline_exceeded")
    assert "no answer within 0.4 s" in body["error"]["message"]
