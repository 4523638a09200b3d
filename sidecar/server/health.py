"""The health plane: is the process alive, does it take calls, has it started; its counters.

Liveness is answered by the event loop and by nothing else: a provider, a full queue or a bad
configuration must not get a healthy sidecar killed. Readiness says whether calls are accepted,
never whether a provider answers, since a pod taken out of service because its provider is down
cannot even serve its own errors. Read-only and without secrets, so this plane may be bound to all
interfaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sidecar.errors import MethodNotAllowedError, NotFoundError
from sidecar.server.rescue import Subject, answer_for
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sidecar.server.exchange import Exchange

PATHS = ("/livez", "/readyz", "/startupz", "/metrics")
HEADERS = {
    "content-type": "application/json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}
_OK, _NOT_NOW = 200, 503


@value
class HealthStatus:
    """The facts behind readiness. ``config`` is shown as it is: what is in force, since when, and
    why a later one is not.
    """

    is_started: bool
    is_draining: bool
    config: Mapping[str, object]


class HealthPlane:
    """Answers the kubelet from ``status``, a callable that reads memory and cannot fail, and
    Prometheus from ``metrics``, which takes its ``Accept`` and returns content type and text.
    """

    def __init__(
        self, status: Callable[[], HealthStatus], metrics: Callable[[str], tuple[str, str]]
    ) -> None:
        self._status = status
        self._metrics = metrics

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        try:
            status, body = self._answer(exchange.method, exchange.path)
            if body is None:
                kind, text = self._metrics(exchange.headers.get("accept", ""))
                await exchange.answer(status, {**HEADERS, "content-type": kind}, text.encode())
            else:
                await exchange.answer(status, HEADERS, msgspec.json.encode(body))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is answered for
            allow = "GET, HEAD" if exchange.path in PATHS else None
            await answer_for(error, exchange, Subject(allow=allow))

    def _answer(self, method: str, path: str) -> tuple[int, dict[str, object] | None]:
        if path not in PATHS:
            raise NotFoundError(f"nothing here; there are {', '.join(PATHS)}")
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowedError(f"{path} is only read")
        if path == "/livez":
            return _OK, {"alive": True}
        if path == "/metrics":
            return _OK, None
        status = self._status()
        if path == "/startupz":
            return (_OK if status.is_started else _NOT_NOW), {"started": status.is_started}
        is_ready = status.is_started and not status.is_draining
        body: dict[str, object] = {
            "ready": is_ready,
            "started": status.is_started,
            "draining": status.is_draining,
            "config": status.config,
        }
        return (_OK if is_ready else _NOT_NOW), body
