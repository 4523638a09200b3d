"""Learning, trials and shadows in a configuration: what they come to, and every mistake's line."""

from __future__ import annotations

import pytest

from sidecar.config.load import load_text
from sidecar.domain import EndpointId, Shadow
from sidecar.errors import ConfigError
from sidecar.shares import Adaptive

TEXT = """\
providers: {a: {kind: openai, base_url: "http://127.0.0.1:4191/v1"}}
models:
  old: {provider: a, model: x-old, price: {input: 1, output: 2}}
  new: {provider: a, model: x-new, price: {input: 1, output: 2}, share: 5%}
  odd: {provider: a, model: x-odd}
routes:
  learns: {tiers: [[old], [odd]], choose: adaptive, adaptive: {worth: 0.05, share: 20%}}
  tries: {tiers: [[old, new]], shadow: {model: odd, share: 0.02, usd_per_day: 3}}
defaults: {adaptive: {worth: 1, usd_per_day: 7}, canary: {tolerance: 0.05}}
"""


def test_what_they_come_to() -> None:
    """The route's terms go before the defaults', the defaults' before ours."""
    config = load_text(TEXT.encode(), {}, source="c.yaml")
    routes = config.catalogue.routes
    assert routes["learns"].adaptive == Adaptive(worth_usd=0.05, share=0.2, usd_per_day=7.0)
    assert routes["tries"].adaptive is None
    assert routes["tries"].canaries == ((EndpointId("a/new"), 0.05),)
    assert routes["tries"].shadow == Shadow(
        endpoint=EndpointId("a/odd"), share=0.02, usd_per_day=3.0
    )
    assert config.settings.canary.tolerance == 0.05
    assert not routes["new"].canaries  # who names the model gets it


CASES = {
    "a share of words": (
        ("share: 5%", "share: some"),
        (
            'c.yaml:4: $.models.new.share: expected a share such as "5%" or 0.05, got "some";'
            " write a number and %"
        ),
    ),
    "a share above all": (
        ("share: 5%", "share: 5"),
        (
            'c.yaml:4: $.models.new.share: expected a share such as "5%" or 0.05, got 5; it is'
            " from 0% to 100%"
        ),
    ),
    "a share that is true": (
        ("share: 5%", "share: true"),
        (
            'c.yaml:4: $.models.new.share: expected a share such as "5%" or 0.05, got true;'
            " write a number and %"
        ),
    ),
    "nobody without a share": (
        ("[[old, new]]", "[[new]]"),
        (
            "c.yaml:8: $.routes.tries.tiers: expected a model without a share, got only models on"
            " trial; remove the share of the one that serves by default"
        ),
    ),
    "shares above all": (
        ("x-odd}", "x-odd, share: 99%}\n  odd2: {provider: a, model: x}"),
        (
            "c.yaml:9: $.routes.tries.tiers: expected shares of at most 100% together, got 104%;"
            " lower some"
        ),
    ),
    "another way to choose": (
        ("new]], shadow", "new]], choose: adaptiv, shadow"),
        (
            'c.yaml:8: $.routes.tries.choose: expected "adaptive" or "configured", got "adaptiv";'
            ' did you mean "adaptive"?'
        ),
    ),
    "terms that nobody reads": (
        ("choose: adaptive, ", ""),
        (
            "c.yaml:7: $.routes.learns.adaptive: expected `choose: adaptive` beside it, got"
            " nothing; add it, or remove these terms"
        ),
    ),
    "a negative worth": (
        ("worth: 0.05", "worth: -1"),
        "c.yaml:7: $.routes.learns.adaptive.worth: expected a number of at least 0, got -1",
    ),
    "a shadow of nobody": (
        ("model: odd, share", "model: ood, share"),
        ('c.yaml:8: $.routes.tries.shadow.model: expected a model, got "ood"; did you mean "old"?'),
    ),
    "a shadow without a model": (
        ("{model: odd, share: 0.02, usd_per_day: 3}", "{share: 2%}"),
        (
            'c.yaml:8: $.routes.tries.shadow: missing key "model", expected text that is not'
            " empty; add `model: …`"
        ),
    ),
}


@pytest.mark.parametrize(("change", "line"), CASES.values(), ids=CASES)
def test_mistakes(change: tuple[str, str], line: str) -> None:
    """Each names the place, what was expected and what to do."""
    before, after = change
    assert before in TEXT
    text = TEXT.replace(before, after)
    if "odd2" in after:
        text = text.replace("[[old, new]]", "[[old, new, odd]]")
    with pytest.raises(ConfigError) as caught:
        load_text(text.encode(), {}, source="c.yaml")
    assert list(caught.value.problems) == [line]


def test_what_will_never_happen_is_said_at_every_start() -> None:
    """A shadow without a price, a choice among one, a trial that no route has."""
    config = load_text(TEXT.encode(), {}, source="c.yaml")
    (unpriced,) = [one for one in config.warnings if "shadow" in one]
    assert "no price is known of odd" in unpriced
    text = TEXT.replace("[[old], [odd]]", "[[old]]").replace("[[old, new]]", "[[old]]")
    warnings = "\n".join(load_text(text.encode(), {}, source="c.yaml").warnings)
    assert "$.routes.learns.choose: a single model leaves nothing to choose" in warnings
    assert "$.models.new.share: no route has this model" in warnings
