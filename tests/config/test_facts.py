"""What is known of models: the file, then the tables, then nothing; and what `check` says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.abilities import Abilities, Ability
from sidecar.cli.check_models import described
from sidecar.config.load import load_text
from sidecar.config.model_table import TABLE, known_of
from sidecar.domain import Capacity, EndpointId, Price
from sidecar.errors import ConfigError
from sidecar.upstream.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.config.model import Config

BIG = EndpointId("a/big")


def test_the_file_is_believed_before_the_tables(read: Callable[..., Config]) -> None:
    """What the entry says of a known model replaces what the table says, the rest stays."""
    said = "gpt-3.5-turbo, max_output: 9, can: {vision: true, tools: false}"
    facts = read(("model: a-big", f"model: {said}")).facts[BIG]
    assert facts.abilities.output_tokens_max == 9
    assert facts.output_from == "file"
    assert Ability.VISION in facts.abilities.can
    assert facts.abilities.cannot == {Ability.TOOLS, Ability.SCHEMA}


@pytest.mark.parametrize("said", ["prefill: true", "can: {prefill: true}"])
def test_prefill_has_two_words(said: str, read: Callable[..., Config]) -> None:
    """Both let a broken stream go on at the model's own words, whatever the table says."""
    config = read(("model: a-big", f"model: claude-sonnet-5-5, {said}"))
    assert config.catalogue.endpoints[BIG].supports_prefill
    assert Ability.PREFILL not in config.facts[BIG].abilities.cannot
    assert not read().catalogue.endpoints[BIG].supports_prefill


def test_a_provider_takes_away_what_its_model_could() -> None:
    """A model that can is no help at a provider that does not offer it, unless the file says so."""
    text = """
    providers: {g: {kind: groq, api_key: {env: K}}, d: {kind: deepseek, api_key: {env: K}}}
    models:
      one: {provider: d, model: gpt-4o}
      two: {provider: d, model: gpt-4o, can: {schema: true}}
    """
    config = load_text(text.encode(), {"K": "k"}, source="c.yaml")
    one, two = (config.catalogue.endpoints[EndpointId(f"d/{name}")] for name in ("one", "two"))
    assert Ability.SCHEMA in one.abilities.cannot
    assert Ability.SCHEMA in two.abilities.can
    assert one.dialect is KINDS["deepseek"].dialect


def test_a_server_of_ones_own_is_free_and_dedicated() -> None:
    """A local kind needs no key, has no price a token, and our load slows it; all may be said."""
    text = """
    providers:
      v: {kind: vllm}
      s: {kind: vllm, base_url: "http://127.0.0.9:1/v1", capacity: shared}
    models:
      one: {provider: v, model: m}
      two: {provider: s, model: m, price: {input: 1, output: 2}}
    """
    config = load_text(text.encode(), {}, source="c.yaml")
    one, two = config.catalogue.endpoints.values()
    assert (one.price, one.capacity) == (Price(input_usd=0, output_usd=0), Capacity.DEDICATED)
    assert (two.price, two.capacity) == (Price(input_usd=1, output_usd=2), Capacity.SHARED)
    assert config.targets[one.provider].base_url == "http://127.0.0.1:8000/v1"


def test_azure_needs_its_resource_and_its_key() -> None:
    """The kind has no address of its own, and every resource asks for a key."""
    entry = "{kind: azure-openai, base_url: 'https://acme.openai.azure.com/openai/v1'%s}"
    models = "models: {m: {provider: a, model: d}}"
    with pytest.raises(ConfigError, match="AZURE_OPENAI_API_KEY"):
        load_text(f"providers: {{a: {entry % ''}}}\n{models}".encode(), {}, source="c.yaml")
    with pytest.raises(ConfigError, match="base_url"):
        load_text(f"providers: {{a: {{kind: azure-openai}}}}\n{models}".encode(), {}, source="")
    keyed = entry % ", api_key: {env: K}"
    text = f"providers: {{a: {keyed}}}\n{models}"
    config = load_text(text.encode(), {"K": "k"}, source="c.yaml")
    (endpoint,) = config.catalogue.endpoints.values()
    assert endpoint.max_tokens_field == "max_completion_tokens"
    assert endpoint.upstream_model == "d"


@pytest.mark.parametrize(
    ("model", "lacks", "longest"),
    [
        ("claude-3-5-sonnet-20241022", {Ability.SCHEMA}, 8192),
        ("anthropic.claude-3-haiku-20240307-v1:0", {Ability.SCHEMA}, 4096),
        ("claude-sonnet-4-5-20250929", set(), 64_000),
        ("anthropic/claude-opus-4-6", {Ability.PREFILL}, None),
        ("claude-sonnet-5-5", {Ability.PREFILL}, None),
        ("gpt-4o-mini", set(), 16_384),
        ("gpt-4o-2024-05-13", {Ability.SCHEMA}, 4096),
        ("gpt-4o-audio-preview", set(), None),
        ("openai/gpt-5-nano", {Ability.LOGPROBS}, 128_000),
        ("gpt-5.2", set(), 128_000),
        ("gpt-5-pro", set(), None),
        ("deepseek-ai/DeepSeek-V3.1", {Ability.VISION}, None),
        ("deepseek-chat", set(), None),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", {Ability.VISION}, None),
        ("mistral-large-4", set(), None),
        ("o3-mini", {Ability.VISION, Ability.LOGPROBS}, 100_000),
        ("o4-mini-2025-04-16", {Ability.LOGPROBS}, 100_000),
        ("openai/gpt-oss-120b", {Ability.VISION}, None),
        ("llama-3.1-8b-instruct", {Ability.VISION}, None),
        ("gpt-6.1-sol", set(), None),
        ("my-gpt-4o", set(), None),
    ],
)
def test_the_table_knows_models_by_their_names(
    model: str, lacks: set[Ability], longest: int | None
) -> None:
    """Families, dates and a vendor's prefix are understood; who is not listed is assumed able."""
    known = known_of(model)
    assert (set(known.cannot), known.output_tokens_max) == (lacks, longest)


def test_no_line_contradicts_itself() -> None:
    """What a line says a model can, it does not say that it cannot."""
    assert [pattern.pattern for pattern, known in TABLE if known.can & known.cannot] == []


def test_wishes_exclude_nobody() -> None:
    """Who cannot seed still answers; who cannot see does not."""
    lacking = Abilities(cannot=frozenset({Ability.SEED, Ability.VISION}))
    assert lacking.missing(frozenset(Ability)) == (Ability.VISION,)


def test_check_says_what_is_known_and_from_where(read: Callable[..., Config]) -> None:
    """Each figure comes with its origin, and what is unknown is said to be."""
    config = read(
        ("model: a-big,", "model: gpt-4-turbo, context: 128000,"),
        ("model: b-small, price: {input: 1, output: 2}", "model: b-small"),
    )
    assert list(described(config)) == [
        (
            "model a/big (gpt-4-turbo): price $1 in, $2 out (file); context 128000 (file); output"
            " 4096 (model table); can tools, forced_tool, parallel_tools, vision; cannot schema;"
            " the rest is assumed"
        ),
        (
            "model b/small (b-small): price unknown; context unknown; output unknown; cannot"
            " logprobs, seed; the rest is assumed"
        ),
    ]
