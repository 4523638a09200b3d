"""By which short names the store knows endpoints, hosts and accounts.

Ten hexadecimal digits of a hash: bounded, of one alphabet, and telling a reader of the store
nothing. An endpoint's covers what it really is, so that pods with different configurations pool
only what is the same; an account's covers its key, so that a pod with another key speaks of
another account. Forty bits of a key that is a random word of a hundred and more say nothing of it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sidecar.catalogue import Catalogue
    from sidecar.domain import Endpoint, EndpointId, ProviderName

LENGTH = 10


def short(*parts: str) -> str:
    """Return the short name of ``parts`` together."""
    return sha256("\0".join(parts).encode()).hexdigest()[:LENGTH]


class Names:
    """Who is who. ``subjects``: short names by endpoint id or host, whose breakers there are."""

    def __init__(self, catalogue: Catalogue, key_of: Callable[[ProviderName], str]) -> None:
        self.endpoints: Mapping[EndpointId, Endpoint] = catalogue.endpoints
        self.key_of = key_of
        self.subjects: dict[str, str] = {}
        self.hosts: dict[str, str] = {}
        for endpoint in catalogue.endpoints.values():
            self.subjects[endpoint.id] = short(
                "endpoint", endpoint.host, endpoint.upstream_model, endpoint.format.value
            )
            self.subjects[endpoint.host] = short("host", endpoint.host)
            self.hosts[endpoint.id] = endpoint.host
        self.routes = {
            route.name: route.endpoints() for route in catalogue.routes.values() if route.is_task
        }
        self.providers = list(dict.fromkeys(one.provider for one in catalogue.endpoints.values()))

    def account(self, provider: ProviderName) -> str:
        """Return the short name of a provider's account as its key is now."""
        return short("account", provider, self.key_of(provider))
