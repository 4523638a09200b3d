"""What people do without a sidecar, and what one could do who knew the future.

Small honest versions of what is in use, on the same providers and calls as the engine:

* ``sdk``: a vendor's SDK, tied to the first provider, two retries after 0.5 and 1 s or a stated
  Retry-After up to 60 s (openai-python's and anthropic's defaults, without their jitter).
* ``list``: the same, then the next provider in order, each call from the first again.
* ``cooldown``: a router (LiteLLM's rule): an endpoint of which more than half of at least 5 calls
  failed in the calendar minute rests for 5 s, then is used again at once; failover on error.
* ``breaker``: five failures in a row open for 60 s, then whoever comes tries (pybreaker's rule);
  failover on error.
* ``oracle``: knows every fault's window and who has room; the reference of goodput. It does not
  wait for a provider to come back.

All have limits of 10 s for a plain answer or a silence in a stream, except ``sdk``, which has
nowhere to go and waits until the caller's deadline.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from sidecar.clock import now as loop_now
from sidecar.simulate.client import Attempted, Fate, PlainClient, Result
from sidecar.upstream.simulated_faults import DISTURBING_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sidecar.domain import Call, Endpoint, EndpointId
    from sidecar.simulate.world import World
    from sidecar.upstream.simulated import SimulatedLimits
    from sidecar.upstream.simulated_memory import MemoryUpstream

LIMIT_S = 10.0
SDK_WAITS_S = (0.5, 1.0)
SDK_RETRY_AFTER_MAX_S = 60.0
RETRIED_STATUSES = (408, 409, 429)
SERVER_ERROR = 500
COOLDOWN_S, COOLDOWN_CALLS_MIN, COOLDOWN_SHARE = 5.0, 5, 0.5
MINUTE_S = 60.0
NAIVE_FAILURES, NAIVE_OPEN_S = 5, 60.0


class Policy(Protocol):
    """Answers calls; what came of it is written into ``result``."""

    async def answer(self, call: Call, result: Result) -> None:
        """Answer ``call``; never raises for a failed one."""


class Surroundings(Protocol):
    """Where a program finds itself."""

    @property
    def upstream(self) -> MemoryUpstream:
        """Return the way to the providers."""

    @property
    def endpoints(self) -> Mapping[EndpointId, Endpoint]:
        """Return what may be asked."""


class Sdk:
    """Retries at one provider, then maybe at the next ones."""

    def __init__(self, world: Surroundings, *, is_list: bool) -> None:
        self._world = world
        self._client = PlainClient(world.upstream)
        self._is_list = is_list

    async def answer(self, call: Call, result: Result) -> None:
        """Try the endpoints in order; without a list, the first alone."""
        names = call.route.endpoints()
        for name in names if self._is_list else names[:1]:
            if await self._retried(call, self._world.endpoints[name], result):
                return

    async def _retried(self, call: Call, endpoint: Endpoint, result: Result) -> bool:
        """Return whether the call is over."""
        limit_s = LIMIT_S if self._is_list else call.deadline_at - loop_now()
        for wait_s in (*SDK_WAITS_S, None):
            got = await self._client.attempt(call, endpoint, result, limit_s=limit_s)
            if got.fate is not Fate.FAILED or loop_now() >= call.deadline_at:
                return True
            if wait_s is None or not _is_retried(got):
                break
            stated_s = got.retry_after_s or 0.0
            pause_s = stated_s if 0.0 < stated_s <= SDK_RETRY_AFTER_MAX_S else wait_s
            if loop_now() + pause_s >= call.deadline_at:
                break
            await asyncio.sleep(pause_s)
        return False


def _is_retried(got: Attempted) -> bool:
    return got.status is None or got.status in RETRIED_STATUSES or got.status >= SERVER_ERROR


class Gatekeeper(Protocol):
    """Says which endpoints rest."""

    def is_resting(self, endpoint: Endpoint, now: float) -> bool:
        """Return whether ``endpoint`` gets nothing now."""

    def note(self, endpoint: Endpoint, *, is_ok: bool, now: float) -> None:
        """Take note of an attempt."""


class Failover:
    """Each endpoint once in order, past those that rest; if all rest, an error at once."""

    def __init__(self, world: World, gatekeeper: Gatekeeper) -> None:
        self._world = world
        self._client = PlainClient(world.upstream)
        self._gatekeeper = gatekeeper

    async def answer(self, call: Call, result: Result) -> None:
        """Try until something was shown."""
        for name in call.route.endpoints():
            endpoint = self._world.endpoints[name]
            if self._gatekeeper.is_resting(endpoint, loop_now()):
                continue
            got = await self._client.attempt(call, endpoint, result, limit_s=LIMIT_S)
            self._gatekeeper.note(endpoint, is_ok=got.fate is Fate.OK, now=loop_now())
            if got.fate is not Fate.FAILED or loop_now() >= call.deadline_at:
                return


class Cooldown:
    """More than half of this minute's calls failed: five seconds of rest."""

    def __init__(self) -> None:
        self._minutes: dict[str, tuple[int, int, int]] = {}  # minute, calls, failures
        self._until: dict[str, float] = {}

    def is_resting(self, endpoint: Endpoint, now: float) -> bool:
        """Return whether the rest is not over."""
        return now < self._until.get(endpoint.id, 0.0)

    def note(self, endpoint: Endpoint, *, is_ok: bool, now: float) -> None:
        """Count, and begin a rest."""
        minute = int(now // MINUTE_S)
        at, calls, failures = self._minutes.get(endpoint.id, (minute, 0, 0))
        if at != minute:
            calls = failures = 0
        calls, failures = calls + 1, failures + (not is_ok)
        self._minutes[endpoint.id] = (minute, calls, failures)
        if not is_ok and calls >= COOLDOWN_CALLS_MIN and failures > COOLDOWN_SHARE * calls:
            self._until[endpoint.id] = now + COOLDOWN_S


class NaiveBreaker:
    """Consecutive failures; one after the open period opens again."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}
        self._opened_at: dict[str, float] = {}

    def is_resting(self, endpoint: Endpoint, now: float) -> bool:
        """Return whether it is open; once due, everyone may try."""
        opened_at = self._opened_at.get(endpoint.id)
        return opened_at is not None and now < opened_at + NAIVE_OPEN_S

    def note(self, endpoint: Endpoint, *, is_ok: bool, now: float) -> None:
        """A success closes, whenever it was admitted; the fifth failure opens."""
        if is_ok:
            self._failures[endpoint.id] = 0
            self._opened_at.pop(endpoint.id, None)
            return
        count = self._failures.get(endpoint.id, 0) + 1
        self._failures[endpoint.id] = count
        if count >= NAIVE_FAILURES:
            self._opened_at[endpoint.id] = now


class Oracle:
    """Asks only whom it knows to be well and to have room."""

    def __init__(self, world: World, limits: Mapping[str, SimulatedLimits]) -> None:
        self._world = world
        self._client = PlainClient(world.upstream)
        self._limits = limits

    async def answer(self, call: Call, result: Result) -> None:
        """Try the endpoints from the best on; those in a fault that kills every call never."""
        ordered = sorted(
            (self._illness(self._world.endpoints[name]), place, name)
            for place, name in enumerate(call.route.endpoints())
        )
        for illness, _, name in ordered:
            if illness >= 1.0:
                return
            endpoint = self._world.endpoints[name]
            got = await self._client.attempt(call, endpoint, result, limit_s=LIMIT_S)
            if got.fate is not Fate.FAILED:
                return

    def _illness(self, endpoint: Endpoint) -> float:
        """Return the chance that a call fails there now; slowness counts a little."""
        provider = self._world.upstream.providers[endpoint.provider]
        limits = self._limits.get(provider.name)
        room = None if limits is None else limits.requests_at_once
        if room is not None and provider.in_flight >= room:
            return 1.0
        now = loop_now()
        shares = [
            0.001 if fault.kind in DISTURBING_KINDS else fault.share
            for fault in provider.faults
            if fault.is_active(now)
        ]
        return max(shares, default=0.0)


BASELINES = ("sdk", "list", "cooldown", "breaker")
ORACLE = "oracle"


def policy_of(name: str, world: World, limits: Mapping[str, SimulatedLimits]) -> Policy:
    """Return a fresh policy; one instance a pod.

    Raises:
        KeyError: there is none of that name.
    """
    makers: dict[str, Callable[[], Policy]] = {
        "sdk": lambda: Sdk(world, is_list=False),
        "list": lambda: Sdk(world, is_list=True),
        "cooldown": lambda: Failover(world, Cooldown()),
        "breaker": lambda: Failover(world, NaiveBreaker()),
        ORACLE: lambda: Oracle(world, limits),
    }
    return makers[name]()
