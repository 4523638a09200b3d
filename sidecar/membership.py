"""Whether this sidecar is one of a fleet, and its part in it if it is.

Without ``fleet.url`` there is no agent, no observer and no import of ``sidecar/fleet``: nothing is
shared and nothing costs. The store's address holds until a restart; endpoints, hosts and keys
follow each reload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.targets import credential_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from sidecar.config.model import Config
    from sidecar.domain import ProviderName
    from sidecar.engine.engine import Engine
    from sidecar.events import Event, Observer
    from sidecar.fleet.agent import FleetAgent
    from sidecar.fleet.names import Names
    from sidecar.metrics import Observed
    from sidecar.upstream.http import ProviderTarget


class Membership:
    """Owns the agent, None where nothing is shared. It is also what hears events for it."""

    def __init__(self, config: Config, rng: random.Random) -> None:
        self.agent: FleetAgent | None = None
        self._rng = rng
        self._is_shared = config.fleet is not None

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Who must hear of events: nobody where nothing is shared."""
        return (self,) if self._is_shared else ()

    def on_event(self, event: Event) -> None:
        """Hand an event to the agent, once there is one."""
        if self.agent is not None:
            self.agent.on_event(event)

    def join(
        self, engine: Engine, config: Config, targets: Mapping[ProviderName, ProviderTarget]
    ) -> None:
        """Make the agent of ``engine``, if the configuration names a store."""
        target = config.fleet
        if target is None:
            return
        from sidecar.fleet.agent import FleetAgent  # noqa: PLC0415 - who shares nothing pays nothing
        from sidecar.fleet.redis_store import RedisStore, StoreAddress  # noqa: PLC0415 - the same
        from sidecar.fleet.settings import DEFAULTS  # noqa: PLC0415 - the same

        password = None if target.password is None else credential_of(target.password)
        address = StoreAddress(
            url=target.url,
            namespace=target.namespace,
            username=target.username,
            password=None if password is None else password.value,
            ca_file=target.ca_file,
            verify_tls=target.verify_tls,
        )
        names = _names(config, targets)
        self.agent = FleetAgent(engine, RedisStore(address, DEFAULTS), names, self._rng)

    def adopt(self, config: Config, targets: Mapping[ProviderName, ProviderTarget]) -> None:
        """Go by another configuration."""
        if self.agent is not None:
            self.agent.adopt(_names(config, targets))

    def status(self) -> dict[str, object] | None:
        """Return what the admin plane shows, None where nothing is shared."""
        return None if self.agent is None else self.agent.status()

    def observed(self) -> tuple[Observed, ...]:
        """Return the metrics, none where nothing is shared."""
        return () if self.agent is None else self.agent.observed()


def _names(config: Config, targets: Mapping[ProviderName, ProviderTarget]) -> Names:
    from sidecar.fleet.names import Names  # noqa: PLC0415 - who shares nothing pays nothing

    return Names(config.catalogue, _key_of(targets))


def _key_of(targets: Mapping[ProviderName, ProviderTarget]) -> Callable[[ProviderName], str]:
    """Return who tells accounts with different keys apart; a signer's keys name no account."""

    def key_of(provider: ProviderName) -> str:
        target = targets.get(provider)
        return "" if target is None or target.credential is None else target.credential.value()

    return key_of
