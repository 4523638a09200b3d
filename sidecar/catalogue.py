"""What callers may name and where it leads: endpoints, routes and aliases of one configuration,
frozen.

A name is looked up as a route first, then as a model (a route of one endpoint), then as an alias; a
reload builds a new catalogue and swaps it whole, so that a call never sees half of one.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from sidecar.errors import UnknownModelError
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.domain import Endpoint, EndpointId, HostName, ProviderName, Route


@value
class Reach:
    """How a provider is reached by requests that are passed on to it, and within which limits.

    ``base_url`` and ``kind`` say who it is: where they change, nothing that was learned holds.
    ``hears_trace``: the provider is told of which trace a request is a part.
    """

    host: HostName
    base_url: str = ""
    kind: str = ""
    within_s: float = 120.0
    connect_s: float = 3.0
    hears_trace: bool = False


@value
class Catalogue:
    """``routes`` holds task routes and one-model routes alike, by the name that callers use."""

    endpoints: Mapping[EndpointId, Endpoint]
    routes: Mapping[str, Route]
    aliases: Mapping[str, str] = field(default_factory=dict)
    providers: Mapping[ProviderName, Reach] = field(default_factory=dict)
    generation: int = 1

    def resolve(self, name: str) -> Route:
        """Return the route called ``name``.

        Raises:
            UnknownModelError: nothing has this name; the message lists what has one.
        """
        route = self.routes.get(self.aliases.get(name, name))
        if route is None:
            known = ", ".join(self.names())
            message = (
                f"no route, model or alias is called {name[:200]!r}; this sidecar knows: {known}"
            )
            raise UnknownModelError(message, path="$.model")
        return route

    def names(self) -> tuple[str, ...]:
        """Return every name a caller may use: tasks, then models, then aliases."""
        tasks = [name for name, route in self.routes.items() if route.is_task]
        models = [name for name, route in self.routes.items() if not route.is_task]
        return (*tasks, *models, *self.aliases)
