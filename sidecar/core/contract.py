"""Whether an endpoint's contract drifted: it calls requests malformed that others answer.

A 400 is the caller's mistake and moves no breaker, so a provider that changes its API and refuses
everything looks healthy, and being fast, attractive. The evidence against it: many
refusals, from several routes, half of what it gets, and some of the very bodies were answered
elsewhere. All four, since a caller's own bug makes the first three.

An ejection is soft (the router prefers others, and never ends with nobody) and short; afterwards
the evidence starts anew. A body that was refused and then answered by another endpoint, or the
other way round, contradicts all the same; the verdict falls with the next refusal.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Hashable

    from sidecar.domain import EndpointId, RouteName


@value
class ContractSettings:
    """Numbers of the guard.

    * ``refused_min`` 10 refusals within ``window_s`` 300 from ``routes_min`` 3 routes: one
      application's bug is one route or two.
    * ``refused_share`` 0.5 of the endpoint's last ``share_of`` 20 requests: what it answered before
      its contract changed says nothing of it since.
    * ``contradicted_min`` 3 refused bodies (of a route each) were answered by another endpoint.
    * ``eject_s`` 300: long enough to matter, short enough for a bad day's mistake.
    * ``verify_after`` 5 refusals in a row make a refused request worth asking elsewhere, at most
      each ``verify_every_s`` 2.
    * ``memory_max`` 512 requests an endpoint; ``bodies_max`` 2048 answered bodies are remembered.
    """

    refused_min: int = 10
    window_s: float = 300.0
    routes_min: int = 3
    refused_share: float = 0.5
    share_of: int = 20
    contradicted_min: int = 3
    eject_s: float = 300.0
    verify_after: int = 5
    verify_every_s: float = 2.0
    memory_max: int = 512
    bodies_max: int = 2048


_DEFAULTS = ContractSettings()


class ContractGuard:
    """Evidence of all endpoints. State: recent requests of each, who answered which body, and
    until when each is ejected.

    ``body_key`` is a digest of what the caller asked, the same whichever endpoint was asked.
    """

    def __init__(self, settings: ContractSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._requests: dict[EndpointId, deque[_Request]] = {}
        self._answers: dict[Hashable, dict[EndpointId, float]] = {}
        self._ejected_until: dict[EndpointId, float] = {}
        self._verified_at: float | None = None

    def refused(
        self, endpoint: EndpointId, route: RouteName, body_key: Hashable, now: float
    ) -> bool:
        """Note a 400; return whether it ejects the endpoint, once an ejection, for the alert."""
        if self.is_ejected(endpoint, now):
            return False
        self._note(endpoint, _Request(at=now, refused=(route, body_key)))
        if not self._has_drifted(endpoint, now):
            return False
        self._ejected_until[endpoint] = now + self._settings.eject_s
        del self._requests[endpoint]
        return True

    def answered(
        self,
        endpoint: EndpointId,
        route: RouteName,  # noqa: ARG002 - as ``refused``; an answer counts whatever the route
        body_key: Hashable,
        now: float,
    ) -> None:
        """Note that the endpoint accepted a request."""
        if not self.is_ejected(endpoint, now):
            self._note(endpoint, _Request(at=now, refused=None))
        answerers = self._answers.pop(body_key, {})
        answerers[endpoint] = now
        self._answers[body_key] = answerers
        if len(self._answers) > self._settings.bodies_max:
            del self._answers[next(iter(self._answers))]

    def should_verify(self, endpoint: EndpointId, now: float) -> bool:
        """Return whether a refused request is worth asking elsewhere, to learn who is wrong.

        Only where the endpoint refused all of its last few requests, of as many routes as an
        ejection needs, and rarely: the other endpoint's answer is paid for, and most refusals are
        the caller's own mistake.
        """
        settings = self._settings
        since = now - settings.window_s
        known = [one for one in self._requests.get(endpoint, ()) if one.at > since]
        recent = known[-settings.verify_after :]
        is_refusing = len(recent) >= settings.verify_after and all(
            request.refused is not None for request in recent
        )
        routes = {request.refused[0] for request in known if request.refused is not None}
        is_refusing = is_refusing and len(routes) >= settings.routes_min
        last_at = self._verified_at
        is_rare = last_at is None or now - last_at >= settings.verify_every_s
        if is_refusing and is_rare:
            self._verified_at = now
            return True
        return False

    def is_ejected(self, endpoint: EndpointId, now: float) -> bool:
        """Return whether the router should prefer others."""
        if not self._ejected_until:
            return False
        until_at = self._ejected_until.get(endpoint)
        return until_at is not None and now < until_at

    def forget(self, endpoint: EndpointId) -> None:
        """Forget the evidence on an endpoint: the name now means another, or nobody."""
        self._requests.pop(endpoint, None)
        self._ejected_until.pop(endpoint, None)

    def _note(self, endpoint: EndpointId, request: _Request) -> None:
        requests = self._requests.get(endpoint)
        if requests is None:
            requests = self._requests[endpoint] = deque(maxlen=self._settings.memory_max)
        requests.append(request)

    def _has_drifted(self, endpoint: EndpointId, now: float) -> bool:
        settings = self._settings
        since = now - settings.window_s
        requests = self._requests[endpoint]
        while requests[0].at <= since:
            requests.popleft()
        refused = [request.refused for request in requests if request.refused is not None]
        recent = list(requests)[-settings.share_of :]
        refused_lately = sum(request.refused is not None for request in recent)
        if refused_lately < max(settings.refused_min, settings.refused_share * len(recent)):
            return False
        if len({route for route, _ in refused}) < settings.routes_min:
            return False
        contradicted = sum(
            1 for _, body_key in dict.fromkeys(refused) if self._is_fine(body_key, endpoint, since)
        )
        return contradicted >= settings.contradicted_min

    def _is_fine(self, body_key: Hashable, refused_by: EndpointId, since: float) -> bool:
        """Whether another endpoint answered the body within the window."""
        answerers = self._answers.get(body_key, {})
        return any(at > since for endpoint, at in answerers.items() if endpoint != refused_by)


@value
class _Request:
    """``refused``: route and body of a refusal, None if it was answered."""

    at: float
    refused: tuple[RouteName, Hashable] | None
