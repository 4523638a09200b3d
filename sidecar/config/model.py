"""What a configuration comes to: frozen values, swapped whole on reload.

Credentials are references (the name of a variable, the path of a file), never the secret itself, so
that no ``repr``, log line or state page can leak one.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from sidecar.telemetry.settings import TelemetrySettings
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.catalogue import Catalogue
    from sidecar.config.facts import ModelFacts
    from sidecar.domain import Capacity, EndpointId, ProviderName
    from sidecar.engine.admission import AdmissionSettings
    from sidecar.engine.drain import DrainSettings
    from sidecar.engine.settings import EngineSettings
    from sidecar.ledger.settings import LedgerSettings


@value
class Address:
    """Where a plane listens."""

    host: str
    port: int


@value
class KeyReference:
    """Where a secret is: the name of an environment variable or the path of a file."""

    env: str | None = None
    file: str | None = None


@value
class Listen:
    """The three planes. ``token`` is asked for where data or admin are bound beyond loopback."""

    data: Address
    admin: Address
    health: Address
    allow_remote: bool = False
    token: KeyReference | None = None


@value
class AwsKeys:
    """What requests are signed with, and for which region."""

    access_key_id: KeyReference
    secret_access_key: KeyReference
    session_token: KeyReference | None
    region: str


@value
class Target:
    """A provider to call: ``kind`` is a key of ``KINDS``; None where a limit is unknown."""

    name: ProviderName
    kind: str
    base_url: str
    api_key: KeyReference | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    capacity: Capacity
    verify_tls: bool = True
    aws: AwsKeys | None = None
    hears_trace: bool = False


@value
class PriceSettings:
    """``refresh_s``: how often the price list's latest edition is fetched, None: never. ``url``:
    from where, None: where its maintainers keep it.
    """

    refresh_s: float | None = None
    url: str | None = None


@value
class FleetTarget:
    """The store that pods share: a URL without credentials, and how to enter."""

    url: str
    namespace: str
    username: str | None = None
    password: KeyReference | None = None
    ca_file: str | None = None
    verify_tls: bool = True


@value
class Config:
    """One configuration, checked.

    ``fleet``: None where nothing is shared. ``may_drill``: operators may put faults into our own
    way to the providers. ``facts`` says of each model what is known and from where. ``warnings``
    are to be shown at every start; ``advice`` is what `sidecar check` says about resilience. The
    file works without heeding either.
    """

    source: str
    listen: Listen
    catalogue: Catalogue
    targets: Mapping[ProviderName, Target]
    settings: EngineSettings
    admission: AdmissionSettings
    drain: DrainSettings
    ledger: LedgerSettings
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    prices: PriceSettings = field(default_factory=PriceSettings)
    fleet: FleetTarget | None = None
    may_drill: bool = False
    facts: Mapping[EndpointId, ModelFacts] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
