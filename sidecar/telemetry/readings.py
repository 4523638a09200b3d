"""What is read off the engine when somebody looks: states, predictions, queues.

**To add a reading**, add an ``Observed`` to ``readings`` and its row to ``docs/telemetry.md``. It
is read on the loop, so it must be quick, and on each scrape, so it must be cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.engine.state import OUTPUT_TOKENS_SHOWN, PROMPT_TOKENS_SHOWN, score_of
from sidecar.metrics import Kind, Observed, single

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sidecar.engine.admission import Admission
    from sidecar.engine.endpoint_health import EndpointHealth
    from sidecar.engine.engine import Engine
    from sidecar.metrics import Labels

    Points = Iterator[tuple[Labels, float]]
    OfEndpoint = Callable[[Engine, EndpointHealth, float], float]

BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2, "isolated": 3}


def readings(engine: Engine, admission: Admission) -> tuple[Observed, ...]:
    """Return all readings."""
    return (
        *_of_endpoints(engine),
        *_of_providers(engine),
        *_of_the_sidecar(engine),
        *_of_the_door(admission),
    )


def _of_endpoints(engine: Engine) -> Iterator[Observed]:
    table: tuple[tuple[str, str, str, OfEndpoint], ...] = (
        ("breaker_state", "{state}", "0 closed, 1 half-open, 2 open, 3 isolated.", _breaker),
        ("score", "{score}", "Health score, 0 to 100.", _score),
        ("available", "{state}", "Whether no gate is shut for its calls.", _available),
        (
            "predicted_first_content",
            "s",
            f"Predicted first content for {PROMPT_TOKENS_SHOWN} tokens.",
            lambda _, own, now: own.latency.ttft_s(PROMPT_TOKENS_SHOWN, now),
        ),
        (
            "predicted_completion",
            "s",
            f"Predicted time for an answer of {OUTPUT_TOKENS_SHOWN} tokens.",
            _completion,
        ),
        (
            "reliability",
            "{share}",
            "Expected success rate, 0 to 1.",
            lambda _, own, now: own.reliability.value(now),
        ),
        ("in_flight", "{attempt}", "Attempts under way.", lambda _, own, __: own.limit.inflight),
        (
            "concurrency_limit",
            "{attempt}",
            "Attempts that may be under way.",
            lambda _, own, __: own.limit_value,
        ),
    )
    for name, unit, meaning, read in table:
        yield Observed(
            name=f"sidecar.endpoint.{name}",
            kind=Kind.GAUGE,
            unit=unit,
            meaning=meaning,
            labels=("endpoint",),
            read=_each_endpoint(engine, read),
        )


def _each_endpoint(engine: Engine, read: OfEndpoint) -> Callable[[], Points]:
    def points() -> Points:
        now = clock.now()
        for name, own in engine.health.endpoints.items():
            yield (name,), read(engine, own, now)

    return points


def _breaker(_: Engine, own: EndpointHealth, now: float) -> float:
    return BREAKER_STATES[own.breaker.state(now).value]


def _score(engine: Engine, own: EndpointHealth, now: float) -> float:
    return round(score_of(engine, own.endpoint.id, now).value, 2)


def _available(engine: Engine, own: EndpointHealth, now: float) -> float:
    return int(engine.health.gate(own.endpoint, now) is None)


def _completion(_: Engine, own: EndpointHealth, now: float) -> float:
    per_token_s = own.latency.itl_s(now)
    return own.latency.ttft_s(PROMPT_TOKENS_SHOWN, now) + OUTPUT_TOKENS_SHOWN * per_token_s


def _of_providers(engine: Engine) -> Iterator[Observed]:
    def hosts() -> Points:
        now = clock.now()
        for name, breaker in engine.health.hosts.items():
            yield (name,), BREAKER_STATES[breaker.state(now).value]

    def accounts() -> Points:
        now = clock.now()
        for name, account in engine.health.accounts.items():
            yield (name,), int(account.gate(now) is not None)

    meaning = "0 closed, 1 half-open, 2 open."
    yield Observed(
        name="sidecar.host.breaker_state",
        kind=Kind.GAUGE,
        unit="{state}",
        meaning=meaning,
        labels=("host",),
        read=hosts,
    )
    yield Observed(
        name="sidecar.account.blocked",
        kind=Kind.GAUGE,
        unit="{state}",
        meaning="Whether an account is blocked: rate, quota or key.",
        labels=("provider",),
        read=accounts,
    )


def _of_the_sidecar(engine: Engine) -> Iterator[Observed]:
    def state(name: str, meaning: str, read: Callable[[float], bool]) -> Observed:
        return _gauge(name, "{state}", meaning, lambda: int(read(clock.now())))

    health, ladder = engine.health, engine.ladder
    yield _gauge("queue", "{call}", "Calls that wait for room.", lambda: len(engine.health.room))
    yield state("shedding", "Whether batch calls are shed.", ladder.is_shedding)
    yield state(
        "egress_suspect", "Whether our own way out seems to be cut.", health.egress.is_suspect
    )
    yield _gauge(
        "loop_lag", "s", "How late the event loop is.", lambda: health.lag.lag_s(clock.now())
    )


def _of_the_door(admission: Admission) -> Iterator[Observed]:
    yield _gauge("calls_in_flight", "{call}", "Calls inside.", lambda: admission.calls)
    yield _gauge("body_size", "By", "Request bodies that are held.", lambda: admission.bodies_bytes)


def _gauge(name: str, unit: str, meaning: str, read: Callable[[], float]) -> Observed:
    return Observed(
        name=f"sidecar.{name}", kind=Kind.GAUGE, unit=unit, meaning=meaning, read=single(read)
    )
