"""What a right configuration comes to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.config import load as load_module
from sidecar.config.load import load
from sidecar.config.model import Address, KeyReference
from sidecar.config.prices import Listed
from sidecar.domain import (
    Capacity,
    EndpointId,
    Price,
    ProviderName,
    RouteName,
    Rung,
    WireFormat,
)
from sidecar.errors import ConfigError, UnknownModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sidecar.config.model import Config
    from sidecar.config.prices import Wanted

EXAMPLES = Path(__file__).parents[2] / "config"
KEYS = {"OPENAI_API_KEY": "k1", "ANTHROPIC_API_KEY": "k2"}
BIG = EndpointId("a/big")
SMALL = EndpointId("b/small")


@pytest.mark.parametrize("name", ["sidecar.yaml", "demo.yaml"])
def test_the_shipped_files_are_right(name: str) -> None:
    """Both files load without a warning or a word of advice."""
    config = load(EXAMPLES / name, KEYS)
    assert config.warnings == ()
    assert config.advice == ()
    assert {"reason", "summarize", "classify"} <= set(config.catalogue.names())


def test_endpoints_know_all_that_was_said(read: Callable[..., Config]) -> None:
    """An endpoint has its provider's format and host, and its own names, price and quality."""
    config = read(("model: a-big,", "model: a-big, quality: {default: 0.8, reason: 0.9},"))
    big, small = config.catalogue.endpoints[BIG], config.catalogue.endpoints[SMALL]
    assert (big.upstream_model, big.format) == ("a-big", WireFormat.OPENAI_CHAT)
    assert (big.host, small.host) == ("http://127.0.0.1:4191", "http://127.0.0.2:4192")
    assert big.price == Price(input_usd=1.0, output_usd=2.0)
    assert big.quality.of(RouteName("reason")) == 0.9
    assert big.quality.of(RouteName("other")) == 0.8
    assert small.format is WireFormat.ANTHROPIC_MESSAGES
    assert big.capacity is Capacity.SHARED


def test_the_default_port_is_part_of_a_host(read: Callable[..., Config]) -> None:
    """Two spellings of one host are one host."""
    config = read(("http://127.0.0.1:4191/v1", "http://[::1]/v1"), ("127.0.0.2:4192", "x.svc/"))
    assert [endpoint.host for endpoint in config.catalogue.endpoints.values()] == [
        *("http://[::1]:80", "http://x.svc:80")
    ]


def test_names_lead_to_tasks_models_and_aliases(read: Callable[..., Config]) -> None:
    """Tasks keep their tiers; each model is a route of one; upstream names are aliases if free."""
    config = read(("routes:", "aliases: {gpt: big}\nroutes:"))
    catalogue = config.catalogue
    assert catalogue.names() == ("reason", "big", "small", "gpt", "a-big", "b-small")
    assert catalogue.resolve("reason").tiers == ((BIG,), (SMALL,))
    assert catalogue.resolve("reason").within_s == 20.0
    for name in ("big", "gpt", "a-big"):
        route = catalogue.resolve(name)
        assert (route.tiers, route.is_task, route.within_s) == (((BIG,),), False, 120.0)


def test_an_upstream_name_of_two_models_is_no_alias(read: Callable[..., Config]) -> None:
    """A name that could mean two endpoints means none."""
    config = read(("model: b-small", "model: a-big"))
    with pytest.raises(UnknownModelError):
        config.catalogue.resolve("a-big")


def test_degrading_is_what_the_list_says(read: Callable[..., Config]) -> None:
    """With a list only its steps are taken; without one a static answer and smaller models are."""
    free = read(("within: 20s", "static: no")).catalogue.resolve("reason")
    assert (free.rungs, free.static) == ((Rung.SMALLER, Rung.STATIC), "no")
    bound = read(("within: 20s", "static: no, degrade: [smaller]")).catalogue.resolve("reason")
    assert (bound.rungs, bound.static) == ((Rung.SMALLER,), None)
    more = read(("within: 20s", "degrade: [clamp, stale]")).catalogue.resolve("reason")
    assert (more.rungs, more.static) == ((Rung.CLAMP, Rung.STALE), None)
    none = read(("within: 20s", "degrade: []")).catalogue.resolve("reason")
    assert (none.rungs, none.static) == ((), None)


def test_prompts_budget_and_attempts_reach_the_route(read: Callable[..., Config]) -> None:
    """A route carries its own constraints; more attempts than usual raise the common bound too."""
    change = ("within: 20s", "budget: 0.01, attempts: 5, prompts: {small: {system: Short.}}")
    config = read(change)
    route = config.catalogue.resolve("reason")
    assert (route.budget_usd, route.attempts_max, route.prompts) == (0.01, 5, {SMALL: "Short."})
    assert config.settings.attempts.attempts_max == 5


def test_a_models_settings_replace_single_defaults(read: Callable[..., Config]) -> None:
    """Fields not named by a model come from the defaults, and those from the core."""
    config = read(
        ("model: a-big,", "model: a-big, breaker: {open_base: 1s}, timers: {stall: 4s},"),
        (
            "routes:",
            (
                "defaults: {breaker: {open_base: 2s, trial_successes: 1},"
                " timers: {connect: 1s, stall: 9s}, account: {quota: 1m}, drain: {grace: 9s},"
                " routing: {interactive: {time: 1, money: 2, reliability: 3, headroom: 4}}}"
                "\nroutes:"
            ),
        ),
    )
    by_endpoint = config.settings.health.by_endpoint
    assert by_endpoint[BIG].breaker.open_base_s == 1.0
    assert by_endpoint[SMALL].breaker.open_base_s == 2.0
    assert by_endpoint[BIG].breaker.trial_successes == 1
    assert by_endpoint[BIG].breaker.open_backoff_max_s == 120.0
    assert config.catalogue.endpoints[BIG].timers.stall_s == 4.0
    assert config.catalogue.endpoints[BIG].timers.connect_s == 1.0
    assert config.catalogue.endpoints[SMALL].timers.stall_s == 9.0
    assert config.settings.health.account.quota_s == 60.0
    assert config.drain.grace_s == 9.0
    assert config.settings.routing.interactive.money == 2.0


def test_a_provider_is_a_target(read: Callable[..., Config]) -> None:
    """Limits, capacity and the place of the key are there; the key itself is not."""
    config = read(
        (
            "{kind: openai,",
            (
                "{kind: openai, api_key: {env: SOME_KEY}, limits: {rpm: 60, tpm: 1000},"
                " capacity: dedicated,"
            ),
        ),
        env={"SOME_KEY": "hunter2"},
    )
    target = config.targets[ProviderName("a")]
    assert target.api_key == KeyReference(env="SOME_KEY")
    assert (target.requests_per_minute, target.tokens_per_minute) == (60, 1000)
    assert target.base_url == "http://127.0.0.1:4191/v1"
    assert config.settings.health.pacers[ProviderName("a")].requests_per_minute == 60
    assert "hunter2" not in repr(config)


def test_planes_listen_where_the_file_says(read: Callable[..., Config]) -> None:
    """Defaults are the documented ports; elsewhere a token is asked for."""
    assert read().listen.data == Address(host="127.0.0.1", port=4180)
    assert read().listen.health == Address(host="0.0.0.0", port=4182)
    remote = read(
        (
            "providers:",
            'listen: {data: "[::]:80"}\nallow_remote: true\ntoken: {env: T}\nproviders:',
        ),
        env={"T": "t"},
    )
    assert remote.listen.data == Address(host="::", port=80)
    assert remote.listen.token == KeyReference(env="T")


def test_a_file_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    """A wrong path is told like any other mistake."""
    with pytest.raises(ConfigError, match=r"nothing\.yaml: cannot be read \(No such file"):
        load(tmp_path / "nothing.yaml", {})


def test_listed_prices_serve_where_none_is_given(
    read: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A price in the file wins; else price and context come from the list."""
    asked: list[Wanted] = []

    def _look_up(wanted: Sequence[Wanted]) -> Mapping[Wanted, Listed]:
        asked.extend(wanted)
        return {pair: Listed(input_usd=7.0, output_usd=8.0, context_tokens=99) for pair in wanted}

    monkeypatch.setattr(load_module, "look_up", _look_up)
    config = read(
        ("model: a-big, price: {input: 1, output: 2}", "model: a-big"),
        ("model: b-small,", "model: b-small, context: 10,"),
    )
    assert asked == [("http://127.0.0.1:4191/v1", "a-big")]
    assert config.catalogue.endpoints[BIG].price == Price(input_usd=7.0, output_usd=8.0)
    assert config.catalogue.endpoints[BIG].context_tokens == 99
    assert config.catalogue.endpoints[SMALL].price == Price(input_usd=1.0, output_usd=2.0)
