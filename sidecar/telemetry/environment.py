"""The standard variables: which signals go where, what is sampled, who we are.

As the specification has them, with one departure: without any of them nothing is exported. It would
have every process send to ``localhost:4318`` unless told not to; a sidecar nobody configured must
not knock on doors. An endpoint, or an exporter named ``otlp``, switches a signal on.

What is not understood is said once, at start, and its default holds: telemetry is never a reason
not to start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from sidecar.tracing import Sampler
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_ENDPOINT = "http://localhost:4318"
SERVICE_NAME = "llm-resilience-sidecar"
PROTOCOL = "http/protobuf"
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
STABILITY = "OTEL_SEMCONV_STABILITY_OPT_IN"
LATEST = "gen_ai_latest_experimental"
_OTLP = "OTEL_EXPORTER_OTLP_"
_TRUE = ("true", "1")
_PATHS = {"TRACES": "/v1/traces", "METRICS": "/v1/metrics"}
_SAMPLERS = {
    "always_on": (1.0, False),
    "always_off": (0.0, False),
    "traceidratio": (None, False),
    "parentbased_always_on": (1.0, True),
    "parentbased_always_off": (0.0, True),
    "parentbased_traceidratio": (None, True),
}


@value
class Target:
    """Where one signal is sent, and how: seconds, PEM files, headers by lower-case name."""

    url: str
    headers: tuple[tuple[str, str], ...]
    timeout_s: float
    is_compressed: bool
    certificate: str | None
    client_certificate: str | None
    client_key: str | None


@value
class Exporting:
    """What the environment asks for. ``traces`` and ``metrics`` None: not sent.

    ``queue_max`` calls wait at most, ``batch_max`` leave together, or what there is after
    ``delay_s``; metrics leave each ``interval_s``. ``problems`` are for the log.
    """

    traces: Target | None
    metrics: Target | None
    sampler: Sampler
    resource: tuple[tuple[str, str], ...]
    queue_max: int
    batch_max: int
    delay_s: float
    interval_s: float
    is_delta: bool
    has_exemplars: bool
    captures_content: bool
    is_latest: bool
    propagates: bool
    problems: tuple[str, ...]


class _Reader:
    """Reads variables, an empty one being none, and keeps what is wrong with them."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.problems: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        return self._env.get(name, "").strip() or default

    def of_signal(self, signal: str, name: str, default: str = "") -> str:
        return self.text(f"{_OTLP}{signal}_{name}") or self.text(_OTLP + name, default)

    def flag(self, name: str) -> bool:
        return self.text(name).lower() in _TRUE

    def number(self, name: str, default: float, *, least: float = 0.0) -> float:
        text = self.text(name)
        if not text:
            return default
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not least <= number < float("inf"):
            self.problems.append(f"{name}: {text!r} is no number from {least:g} on; {default:g}")
            return default
        return number

    def pairs(self, name: str) -> dict[str, str]:
        """Read ``a=1,b=2``; values are percent-encoded."""
        found = {}
        for part in self.text(name).split(","):
            key, equals, said = part.partition("=")
            if equals and key.strip():
                found[key.strip()] = unquote(said.strip())
            elif part.strip():
                # Its text may be a secret.
                self.problems.append(f"{name}: an item without '=' is left out")
        return found


def read_environment(env: Mapping[str, str]) -> Exporting:
    """Return what ``env`` asks for."""
    reader = _Reader(env)
    is_off = reader.flag("OTEL_SDK_DISABLED")
    traces = None if is_off else _target(reader, "TRACES", ("otlp",))
    metrics = None if is_off else _target(reader, "METRICS", ("otlp", "prometheus"))
    queue_max = reader.number("OTEL_BSP_MAX_QUEUE_SIZE", 2048, least=1)
    batch_max = reader.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, least=1)
    preference = reader.text(_OTLP + "METRICS_TEMPORALITY_PREFERENCE", "cumulative").lower()
    propagators = reader.text("OTEL_PROPAGATORS", "tracecontext,baggage").split(",")
    return Exporting(
        traces=traces,
        metrics=metrics,
        sampler=_sampler(reader),
        resource=_resource(reader),
        queue_max=int(queue_max),
        batch_max=int(min(batch_max, queue_max)),
        delay_s=reader.number("OTEL_BSP_SCHEDULE_DELAY", 5000) / 1000,
        interval_s=reader.number("OTEL_METRIC_EXPORT_INTERVAL", 60_000, least=1) / 1000,
        is_delta=preference in ("delta", "lowmemory"),
        has_exemplars=reader.text("OTEL_METRICS_EXEMPLAR_FILTER", "trace_based") != "always_off",
        captures_content=reader.flag(CONTENT),
        is_latest=LATEST in reader.text(STABILITY).split(","),
        propagates="tracecontext" in [one.strip() for one in propagators],
        problems=tuple(reader.problems),
    )


def _target(reader: _Reader, signal: str, known: tuple[str, ...]) -> Target | None:
    """Return where ``signal`` goes, None if it is not sent."""
    variable = f"OTEL_{signal}_EXPORTER"
    exporters = [one.strip() for one in reader.text(variable).lower().split(",") if one.strip()]
    own = reader.text(f"{_OTLP}{signal}_ENDPOINT")
    common = reader.text(f"{_OTLP}ENDPOINT")
    for one in exporters:
        if one not in (*known, "none"):
            reader.problems.append(f"{variable}: there is no exporter {one!r} here, only otlp")
    if not ("otlp" in exporters or (not exporters and (own or common))):
        return None
    protocol = reader.of_signal(signal, "PROTOCOL", PROTOCOL)
    if protocol != PROTOCOL:
        message = f"OTLP over {protocol!r} is not spoken; {PROTOCOL} is"
        reader.problems.append(f"{message} ({signal.lower()})")
    url = own or (common or DEFAULT_ENDPOINT).rstrip("/") + _PATHS[signal]
    if not url.startswith(("http://", "https://")):
        reader.problems.append(f"the endpoint for {signal.lower()} is no http(s) URL: not sent")
        return None
    given = reader.pairs(f"{_OTLP}HEADERS") | reader.pairs(f"{_OTLP}{signal}_HEADERS")
    name = f"{_OTLP}{signal}_TIMEOUT"
    timeout = name if reader.text(name) else f"{_OTLP}TIMEOUT"
    return Target(
        url=url,
        headers=tuple((key.lower(), said) for key, said in given.items()),
        timeout_s=reader.number(timeout, 10_000, least=1) / 1000,
        is_compressed=reader.of_signal(signal, "COMPRESSION") == "gzip",
        certificate=reader.of_signal(signal, "CERTIFICATE") or None,
        client_certificate=reader.of_signal(signal, "CLIENT_CERTIFICATE") or None,
        client_key=reader.of_signal(signal, "CLIENT_KEY") or None,
    )


def _sampler(reader: _Reader) -> Sampler:
    name = reader.text("OTEL_TRACES_SAMPLER", "parentbased_always_on").lower()
    if name not in _SAMPLERS:
        reader.problems.append(
            f"OTEL_TRACES_SAMPLER: {name!r} is not one of {', '.join(_SAMPLERS)}"
        )
        name = "parentbased_always_on"
    ratio, follows_parent = _SAMPLERS[name]
    if ratio is None:
        ratio = min(1.0, reader.number("OTEL_TRACES_SAMPLER_ARG", 1.0))
    return Sampler(ratio=ratio, follows_parent=follows_parent)


def _resource(reader: _Reader) -> tuple[tuple[str, str], ...]:
    given = {"service.name": SERVICE_NAME} | reader.pairs("OTEL_RESOURCE_ATTRIBUTES")
    if name := reader.text("OTEL_SERVICE_NAME"):
        given["service.name"] = name
    return tuple(given.items())
