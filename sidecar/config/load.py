"""From a file to a configuration: read, check everything, build.

Three passes: bytes to plain values with lines, values against the schema and each other (all
problems at once), and only then building, which cannot fail. One way in for files, the generated
default and reloads. A key file is named as it is opened: a relative path is taken from the
directory of the process.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from sidecar.abilities import Ability
from sidecar.catalogue import Catalogue, Reach
from sidecar.config.embeddings import formats_of
from sidecar.config.facts import facts_of
from sidecar.config.groups import build
from sidecar.config.lint import advise, warn
from sidecar.config.model import (
    Config,
    FleetTarget,
    Listen,
    PriceSettings,
)
from sidecar.config.prices import look_up
from sidecar.config.problems import Problems
from sidecar.config.references import check_references
from sidecar.config.schema import File
from sidecar.config.settings import build_settings
from sidecar.config.sharing import adaptive_of, canaries_of, grader_of, shadow_of
from sidecar.config.surroundings import check_surroundings
from sidecar.config.values import address_of, host_of, key_reference, quality_of, target_of
from sidecar.config.walk import Walk
from sidecar.config.yaml_tree import BYTES_MAX, parse_tree
from sidecar.domain import (
    DEFAULT_RUNGS,
    EMBEDDINGS,
    Endpoint,
    EndpointId,
    ModelName,
    OnBreak,
    Priority,
    ProviderName,
    Route,
    RouteName,
    Rung,
    Timers,
)
from sidecar.engine.admission import AdmissionSettings
from sidecar.engine.drain import DrainSettings
from sidecar.errors import ConfigError
from sidecar.ledger.settings import LedgerSettings
from sidecar.telemetry.settings import TelemetrySettings
from sidecar.upstream.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sidecar.config.facts import ModelFacts
    from sidecar.config.prices import Listed, Wanted
    from sidecar.config.schema import (
        ModelEntry,
        RouteEntry,
    )
    from sidecar.config.yaml_tree import Tree


def load(path: Path, env: Mapping[str, str]) -> Config:
    """Return the configuration in the file at ``path``.

    Raises:
        ConfigError: the file cannot be read or used; every problem is listed.
    """
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a path"
        message = f"{path}: cannot be read ({reason}); `sidecar check --config FILE` names another"
        raise ConfigError((message,)) from None
    return load_text(data, env, source=str(path))


def load_text(data: bytes, env: Mapping[str, str], *, source: str) -> Config:
    """Return the configuration that ``data`` spells.

    Raises:
        ConfigError: it cannot be used; every problem is listed, ``source`` and line first.
    """
    tree = parse_tree(data, source)
    problems = tree.problems
    fits = Walk(problems).fit(msgspec.inspect.type_info(File), tree.value, "$")
    if fits and isinstance(fits[0], dict) and isinstance(tree.value, dict):
        check_references(tree.value, fits[0], problems)
        check_surroundings(tree.value, fits[0], env, problems)
    problems.raise_any()
    return _build(msgspec.convert(fits[0], File), tree)


def _build(file: File, tree: Tree) -> Config:
    """Return the values of a checked file, with what is to be said about them."""
    parts = _Parts(file)
    settings = build_settings(file, parts.ids)
    endpoints = parts.endpoints()
    config = Config(
        source=tree.source,
        listen=parts.listen(),
        facts=parts.facts,
        catalogue=Catalogue(
            endpoints=endpoints,
            routes=parts.routes(),
            aliases=parts.aliases(),
            providers=parts.providers(),
        ),
        targets=parts.targets,
        settings=settings,
        admission=build(AdmissionSettings, file.defaults.admission),
        drain=build(DrainSettings, file.defaults.drain),
        ledger=build(LedgerSettings, msgspec.structs.asdict(file.ledger)),
        telemetry=TelemetrySettings(
            content=file.telemetry.content,
            redact=tuple(file.telemetry.redact),
            content_chars=file.telemetry.content_chars,
        ),
        prices=PriceSettings(refresh_s=file.prices.refresh, url=file.prices.url),
        fleet=parts.fleet(),
        may_drill=file.drills == "enabled",
    )
    warnings, advice = Problems(tree.source, tree.lines), Problems(tree.source, tree.lines)
    warn(file, config, warnings)
    advise(config, advice)
    return replace(config, warnings=warnings.texts(), advice=advice.texts())


class _Parts:
    """Makes the parts of one checked file."""

    def __init__(self, file: File) -> None:
        self._file = file
        self.targets = {
            ProviderName(name): target_of(ProviderName(name), entry)
            for name, entry in file.providers.items()
        }
        self.facts: dict[EndpointId, ModelFacts] = {}
        self.ids = {
            name: EndpointId(f"{entry.provider}/{name}") for name, entry in file.models.items()
        }

    def endpoints(self) -> dict[EndpointId, Endpoint]:
        """Return the endpoints, prices and context sizes from the list where not given."""
        models = self._file.models
        listed = look_up(
            [self._wanted(m) for m in models.values() if m.price is None or m.context is None]
        )
        made = (self._endpoint(name, model, listed) for name, model in models.items())
        return {endpoint.id: endpoint for endpoint in made}

    def _wanted(self, model: ModelEntry) -> Wanted:
        """Return by what a model is looked up in the price list."""
        return self.targets[ProviderName(model.provider)].base_url, model.model

    def _endpoint(
        self,
        name: str,
        model: ModelEntry,
        listed: Mapping[Wanted, Listed],
    ) -> Endpoint:
        """Return one endpoint."""
        target = self.targets[ProviderName(model.provider)]
        kind = KINDS[target.kind]
        facts = self.facts[self.ids[name]] = facts_of(model, kind, listed.get(self._wanted(model)))
        spoken = formats_of(model, kind, target.base_url)
        space = model.embedding_space or model.model
        return Endpoint(
            id=self.ids[name],
            provider=target.name,
            model=ModelName(name),
            upstream_model=model.model,
            format=spoken[0],
            host=host_of(target.base_url),
            capacity=target.capacity,
            quality=quality_of(model.quality),
            price=facts.price,
            timers=build(Timers, self._file.defaults.timers, model.timers),
            is_reasoning=model.reasoning,
            supports_prefill=Ability.PREFILL in facts.abilities.can,
            upstream=model.upstream,
            context_tokens=facts.context_tokens,
            max_tokens_field=kind.max_tokens_field_at(target.base_url),
            also=spoken[1:],
            space=space if spoken[0] in EMBEDDINGS else None,
            hears_trace=target.hears_trace,
            abilities=facts.abilities,
            dialect=kind.dialect,
            bills_cut_answers=kind.bills_cut_answers,
        )

    def routes(self) -> dict[str, Route]:
        """Return the tasks and a route of its own for each model."""
        defaults = self._file.defaults
        tasks = {name: self._route(name, entry) for name, entry in self._file.routes.items()}
        models = {
            name: Route(
                name=RouteName(name),
                tiers=((endpoint,),),
                within_s=defaults.within,
                attempts_max=defaults.attempts,
                is_task=False,
            )
            for name, endpoint in self.ids.items()
        }
        return {**tasks, **models}

    def _route(self, name: str, entry: RouteEntry) -> Route:
        """Return one task."""
        defaults = self._file.defaults
        degrade = entry.degrade
        return Route(
            name=RouteName(name),
            tiers=tuple(tuple(self.ids[model] for model in tier) for tier in entry.tiers),
            within_s=defaults.within if entry.within is None else entry.within,
            budget_usd=entry.budget,
            first_token_s=entry.first_token,
            quality=entry.quality if entry.quality_hard is None else entry.quality_hard,
            is_quality_hard=entry.quality_hard is not None,
            priority=Priority(entry.priority),
            prompts={self.ids[model]: prompt.system for model, prompt in entry.prompts.items()},
            static=entry.static if degrade is None or "static" in degrade else None,
            rungs=DEFAULT_RUNGS if degrade is None else tuple(Rung(name) for name in degrade),
            stale_s_max=entry.max_stale,
            may_hedge=entry.hedge,
            on_break=OnBreak(entry.on_break),
            checks_output=entry.check_output,
            attempts_max=defaults.attempts if entry.attempts is None else entry.attempts,
            grader=None if entry.grader is None else grader_of(entry.grader, self.ids),
            adaptive=adaptive_of(entry, defaults),
            canaries=canaries_of(entry, self._file.models, self.ids),
            shadow=None if entry.shadow is None else shadow_of(entry.shadow, self.ids),
        )

    def aliases(self) -> dict[str, str]:
        """Return the aliases given, and each provider's own model name where it is free."""
        given = self._file.aliases
        taken = {*self._file.routes, *self._file.models, *given}
        own: dict[str, list[str]] = {}
        for name, model in self._file.models.items():
            own.setdefault(model.model, []).append(name)
        free = {upstream: names[0] for upstream, names in own.items() if len(names) == 1}
        return {**given, **{up: name for up, name in free.items() if up not in taken}}

    def providers(self) -> dict[ProviderName, Reach]:
        """Return how each provider is reached by what is passed on to it."""
        defaults = self._file.defaults
        connect_s = build(Timers, defaults.timers).connect_s
        return {
            name: Reach(
                host=host_of(target.base_url),
                base_url=target.base_url.rstrip("/"),
                kind=target.kind,
                within_s=defaults.within,
                connect_s=connect_s,
                hears_trace=target.hears_trace,
            )
            for name, target in self.targets.items()
        }

    def listen(self) -> Listen:
        """Return where the planes listen."""
        entry = self._file.listen
        return Listen(
            data=address_of(entry.data),
            admin=address_of(entry.admin),
            health=address_of(entry.health),
            allow_remote=self._file.allow_remote,
            token=key_reference(self._file.token),
        )

    def fleet(self) -> FleetTarget | None:
        """Return the store that pods share."""
        entry = self._file.fleet
        if entry.url is None:
            return None
        return FleetTarget(
            url=entry.url,
            namespace=entry.namespace,
            username=entry.username,
            password=key_reference(entry.password),
            ca_file=entry.ca,
            verify_tls=entry.verify_tls,
        )
