"""A configuration out of the keys in the environment."""

from __future__ import annotations

import pytest

from sidecar.config.from_env import default_yaml, describe, from_env
from sidecar.domain import ProviderName
from sidecar.errors import ConfigError

LOCAL = {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "ANTHROPIC_BASE_URL": "http://127.0.0.1:2"}
BOTH = {"OPENAI_API_KEY": "hunter2", "ANTHROPIC_API_KEY": "hunter3", **LOCAL}


def test_two_keys_make_routes_across_two_vendors() -> None:
    """Every task can fall back to the other vendor."""
    config = from_env(BOTH)
    tasks = [route for route in config.catalogue.routes.values() if route.is_task]
    assert [route.name for route in tasks] == [
        *("reason", "chat", "summarize", "extract", "classify")
    ]
    for route in tasks:
        assert {endpoint.partition("/")[0] for endpoint in route.endpoints()} == {
            *("anthropic", "openai")
        }
    assert not [line for line in config.advice if "outage is yours" in line]


def test_one_key_makes_one_vendor() -> None:
    """A missing or blank key leaves its vendor out."""
    config = from_env({**BOTH, "ANTHROPIC_API_KEY": " "})
    assert list(config.targets) == ["openai"]
    assert config.targets[next(iter(config.targets))].base_url == "http://127.0.0.1:1/v1"


def test_it_says_what_it_built_and_shows_no_key() -> None:
    """A person sees providers, where their keys come from, and routes; never a key."""
    lines = describe(from_env(BOTH))
    assert lines[0] == (
        "providers: anthropic (ANTHROPIC_API_KEY, http://127.0.0.1:2),"
        " openai (OPENAI_API_KEY, http://127.0.0.1:1/v1)"
    )
    assert lines[-1] == (
        "route classify: anthropic/claude-haiku-5-5, openai/gpt-6-luna >"
        " anthropic/claude-sonnet-5-5, openai/gpt-6.1-sol within 15s"
    )
    assert "hunter" not in "".join(lines) + default_yaml(BOTH)


def test_a_gemini_key_makes_a_third_vendor() -> None:
    """Google's SDKs name a base URL without the version, which is added."""
    env = {**BOTH, "GEMINI_API_KEY": "hunter4", "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:3/"}
    config = from_env(env)
    gemini = config.targets[ProviderName("gemini")]
    assert (gemini.kind, gemini.base_url) == ("gemini", "http://127.0.0.1:3/v1beta")
    for route in config.catalogue.routes.values():
        vendors = {endpoint.partition("/")[0] for endpoint in route.endpoints()}
        assert not route.is_task or vendors == {"anthropic", "openai", "gemini"}


def test_no_key_says_what_to_set() -> None:
    """Without keys the message names the variables, --config and the demo."""
    with pytest.raises(ConfigError) as caught:
        from_env({})
    assert caught.value.problems == (
        (
            "no configuration and no provider key: set ANTHROPIC_API_KEY or OPENAI_API_KEY or"
            " GEMINI_API_KEY, or name a file with --config FILE; `sidecar demo` needs neither"
        ),
    )


def test_a_base_url_that_is_none_is_a_problem_like_any_other() -> None:
    """Values from the environment go through the same checks, quotes and all."""
    with pytest.raises(ConfigError, match=r"\$\.providers\.openai\.base_url: expected a URL"):
        from_env({**BOTH, "OPENAI_BASE_URL": 'x", kind: "y'})
