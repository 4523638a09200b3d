"""What `sidecar check` says about a configuration that is right but will hurt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.config.model import Config

PRICE = "price: {input: 1, output: 2}"
ADVICE: dict[str, tuple[tuple[tuple[str, str], ...], str]] = {
    "one host": (
        (("provider: b", "provider: a"),),
        (
            "c.yaml:8: $.routes.reason: every model of this route is at http://127.0.0.1:4191: its"
            " outage is yours; add a model at another vendor"
        ),
    ),
    "a ledger without a directory": (
        (("routes:", "ledger: {path: /nowhere/at/all.db}\nroutes:"),),
        (
            "c.yaml:7: $.ledger.path: there is no directory /nowhere/at: calls are kept in memory"
            " alone; make it, or mount a volume there"
        ),
    ),
    "two providers at one host": (
        (("127.0.0.2:4192", "127.0.0.1:4191"),),
        (
            "c.yaml:8: $.routes.reason: every model of this route is at http://127.0.0.1:4191: its"
            " outage is yours; add a model at another vendor"
        ),
    ),
    "smaller context": (
        (("a-big,", "a-big, context: 200000,"), ("b-small,", "b-small, context: 8000,")),
        (
            "c.yaml:8: $.routes.reason.tiers: fallback small has a context of 8000 tokens, before"
            " it 200000; longer prompts cannot fall back"
        ),
    ),
    "fallbacks without eyes": (
        (("b-small,", "b-small, can: {vision: false, tools: false, seed: false},"),),
        (
            "c.yaml:8: $.routes.reason.tiers: no fallback can do tools, vision, which the best tier"
            " can; such calls cannot fall back"
        ),
    ),
    "fallbacks that write less": (
        (("a-big,", "a-big, max_output: 64000,"), ("b-small,", "b-small, max_output: 4096,")),
        (
            "c.yaml:8: $.routes.reason.tiers: no fallback writes more than 4096 tokens, before it"
            " 64000; calls that ask for more cannot fall back; add clamp to degrade"
        ),
    ),
    "no time for a second": (
        (("a-big,", "a-big, timers: {first_content: 20s},"),),
        (
            "c.yaml:8: $.routes.reason.within: big may be silent for 20s of 20s; no time is left"
            " for another; lower timers.first_content or raise within"
        ),
    ),
    "embeddings of two models": (
        (
            ("provider: b, model: b-small", "provider: a, model: embed-b"),
            ("model: a-big", "model: embed-a"),
            ("models:", "  c: {kind: openai, base_url: 'http://127.0.0.3:1'}\nmodels:"),
            ("provider: a, model: embed-b", "provider: c, model: embed-b"),
        ),
        (
            "c.yaml:9: $.routes.reason.tiers: vectors of embed-a and embed-b cannot be compared, so"
            " only those of embed-a are served; if they are one model, give both the same"
            " `embedding_space`"
        ),
    ),
    "embeddings and words": (
        (("model: a-big,", "model: a-big, embeds: true,"),),
        (
            "c.yaml:8: $.routes.reason.tiers: small makes no embeddings, the rest of this route"
            " nothing else; make two routes"
        ),
    ),
    "static answer for embeddings": (
        (
            ("provider: b, model: b-small", "provider: c, model: embed"),
            ("model: a-big", "model: embed"),
            ("models:", "  c: {kind: openai, base_url: 'http://127.0.0.3:1'}\nmodels:"),
            ("within: 20s", "static: x"),
        ),
        (
            "c.yaml:9: $.routes.reason.static: a route of embeddings never gives a static answer;"
            " remove it"
        ),
    ),
    "budget too small": (
        (("within: 20s", "budget: 0.000001"),),
        (
            "c.yaml:8: $.routes.reason.budget: no call can be made: even 50 tokens in and 10 out"
            " cost $0.000070; raise the budget or add a cheaper model"
        ),
    ),
    "budget without any price": (
        (("within: 20s", "budget: 0.01"), (f", {PRICE}", "")),
        "c.yaml:8: $.routes.reason.budget: no call can be made: no model of this route has a price",
    ),
    "no probes": (
        (("routes:", "defaults: {spend: {daily_usd: 0}}\nroutes:"),),
        (
            "c.yaml:7: $.defaults.spend.daily_usd: nothing may be spent on probes: recovery is seen"
            " by callers' own calls only; allow a few cents"
        ),
    ),
    "plain http": (
        (("http://127.0.0.2:4192", "http://llama.models.svc:8000"),),
        (
            "c.yaml:3: $.providers.b.base_url: prompts and the key travel to llama.models.svc in"
            " plain text; use https://"
        ),
    ),
}
CAPPED, ROUTE_CAPPED = (
    "{kind: openai, limits: {usd_per_day: 5},",
    "within: 20s, limits: {usd_per_day: 5}",
)
WARNINGS: dict[str, tuple[tuple[tuple[str, str], ...], str]] = {
    "unverified": (
        (("{kind: openai,", "{kind: openai, verify_tls: false,"),),
        (
            "c.yaml:2: $.providers.a.verify_tls: TLS certificates are not verified: whoever sits in"
            " between reads the key; set verify_tls: true"
        ),
    ),
    "price in cents": (
        (("a-big, price: {input: 1, output: 2}", "a-big, price: {input: 300, output: 1500}"),),
        (
            "c.yaml:5: $.models.big.price: no known model costs more than $1000 a million tokens;"
            " prices are US dollars per million tokens, not cents"
        ),
    ),
    "price a token": (
        (("a-big, price: {input: 1, output: 2}", "a-big, price: {input: 3e-6, output: 1.5e-5}"),),
        (
            "c.yaml:5: $.models.big.price: no known model costs less than $0.001 a million tokens;"
            " prices are US dollars per million tokens, not per token"
        ),
    ),
    "a provider's cap that cannot count": (
        (("a-big, price: {input: 1, output: 2}", "a-big"), ("{kind: openai,", CAPPED)),
        (
            "c.yaml:2: $.providers.a.limits.usd_per_day: no price is known of big, so what it costs"
            " does not count; add `price: {input: …, output: …}`"
        ),
    ),
    "a route's cap that cannot count": (
        (("a-big, price: {input: 1, output: 2}", "a-big"), ("within: 20s", ROUTE_CAPPED)),
        (
            "c.yaml:8: $.routes.reason.limits.usd_per_day: no price is known of big, so what it"
            " costs does not count; add `price: {input: …, output: …}`"
        ),
    ),
    "static never given": (
        (("within: 20s", "degrade: [smaller], static: x"),),
        (
            "c.yaml:8: $.routes.reason.static: the static answer is never given, since degrade does"
            " not list static; add it or remove the answer"
        ),
    ),
    "budget with an unknown price": (
        (("within: 20s", "budget: 0.01"), (f"model: a-big, {PRICE}", "model: a-big")),
        (
            "c.yaml:8: $.routes.reason.budget: no price is known of big, so a call with a budget"
            " skips it; add `price: {input: …, output: …}`"
        ),
    ),
}


def test_a_sound_configuration_gets_no_advice(read: Callable[..., Config]) -> None:
    """Two vendors, prices and time enough leave nothing to say."""
    config = read()
    assert (config.warnings, config.advice) == ((), ())


@pytest.mark.parametrize("case", ADVICE)
def test_advice_is_one_exact_line(case: str, read: Callable[..., Config]) -> None:
    """Each weakness is told with its place, its consequence and a way out, at check alone."""
    changes, message = ADVICE[case]
    assert read(*changes).advice == (message,)


def test_what_the_best_cannot_do_either_is_no_loss(read: Callable[..., Config]) -> None:
    """Only what would be lost is told, and a route that clamps loses no length."""
    blind = "can: {vision: false}, max_output:"
    config = read(
        ("a-big,", f"a-big, {blind} 64000,"),
        ("b-small,", f"b-small, {blind} 4096,"),
        ("within: 20s", "degrade: [smaller, clamp]"),
    )
    assert config.advice == ()


@pytest.mark.parametrize("case", WARNINGS)
def test_a_warning_is_one_exact_line(case: str, read: Callable[..., Config]) -> None:
    """What must be seen at every start is a warning."""
    changes, message = WARNINGS[case]
    assert read(*changes).warnings == (message,)


def test_a_single_model_has_nobody_to_take_over(read: Callable[..., Config]) -> None:
    """One endpoint makes every other rule of resilience idle."""
    config = read(
        ("  small: {provider: b, model: b-small, price: {input: 1, output: 2}}\n", ""),
        (", [small]", ""),
    )
    assert config.advice[0] == (
        "c.yaml:4: $.models: there is a single model: nothing can take over from it; add one at"
        " another provider"
    )
