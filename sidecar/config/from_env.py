"""A configuration out of nothing but provider keys in the environment.

What is built is a YAML text that goes through the same loader as any file, so that there is one way
in and the text can be printed, kept and edited. The models are the current strong and small one of
each vendor; tasks go across every vendor that has a key. A cloud's deployments have names of their
own, so a key alone makes no models there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sidecar.config.load import load_text
from sidecar.durations import format_duration
from sidecar.errors import ConfigError
from sidecar.upstream.kinds import KINDS
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.config.model import Config

SOURCE = "default configuration"


@value
class _Vendor:
    """A vendor's present models; extra members of a model's entry as YAML.

    ``is_leading``: its strong model stands beside the best, others come in a tier behind.
    """

    kind: str
    url_env: str | None = None
    is_leading: bool = False
    strong: str
    strong_extra: str
    small: str
    small_extra: str
    url_suffix: str = ""

    @property
    def key_env(self) -> str:
        """The variable that holds the key."""
        return KINDS[self.kind].key_env


VENDORS = (
    _Vendor(
        kind="anthropic",
        url_env="ANTHROPIC_BASE_URL",
        is_leading=True,
        strong="claude-sonnet-5-5",
        strong_extra="quality: 0.93",
        small="claude-haiku-5-5",
        small_extra="quality: {default: 0.7, classify: 0.9}",
    ),
    _Vendor(
        kind="openai",
        url_env="OPENAI_BASE_URL",
        is_leading=True,
        strong="gpt-6.1-sol",
        strong_extra="quality: 0.92, reasoning: true",
        small="gpt-6-luna",
        small_extra="quality: {default: 0.7, classify: 0.9}",
    ),
    _Vendor(
        kind="xai",
        strong="grok-4.7",
        strong_extra="quality: 0.85, reasoning: true",
        small="grok-4-1-fast-non-reasoning",
        small_extra="quality: {default: 0.65, classify: 0.85}",
    ),
    _Vendor(
        kind="mistral",
        strong="mistral-large-4",
        strong_extra="quality: 0.83",
        small="mistral-small-2603",
        small_extra="quality: {default: 0.62, classify: 0.85}",
    ),
    _Vendor(
        kind="deepseek",
        strong="deepseek-v4-pro",
        strong_extra="quality: 0.84",
        small="deepseek-v4-flash",
        small_extra="quality: {default: 0.65, classify: 0.85}",
    ),
    _Vendor(
        kind="groq",
        strong="openai/gpt-oss-120b",
        strong_extra="quality: 0.7",
        small="openai/gpt-oss-20b",
        small_extra="quality: {default: 0.55, classify: 0.8}",
    ),
    _Vendor(
        kind="together",
        url_env="TOGETHER_BASE_URL",
        strong="zai-org/GLM-5.3",
        strong_extra="quality: 0.83",
        small="zai-org/GLM-5.3-Flash",
        small_extra="quality: {default: 0.62, classify: 0.85}",
    ),
    _Vendor(
        kind="openrouter",
        strong="anthropic/claude-sonnet-5.5",
        strong_extra="quality: 0.93",
        small="openai/gpt-6-luna",
        small_extra="quality: {default: 0.7, classify: 0.9}",
    ),
    _Vendor(
        kind="gemini",
        url_env="GOOGLE_GEMINI_BASE_URL",
        url_suffix="/v1beta",  # Google's SDKs add the version themselves
        strong="gemini-4-argon",
        strong_extra="quality: 0.92, reasoning: true",
        small="gemini-3.8-flash",
        small_extra="quality: {default: 0.7, classify: 0.9}, reasoning: true",
    ),
)


def from_env(env: Mapping[str, str]) -> Config:
    """Return the configuration that the keys in ``env`` allow.

    Raises:
        ConfigError: there is no key, or a base URL in ``env`` is none.
    """
    return load_text(default_yaml(env).encode(), env, source=SOURCE)


def default_yaml(env: Mapping[str, str]) -> str:
    """Return a configuration for the keys in ``env``, as YAML.

    Raises:
        ConfigError: there is no key.
    """
    vendors = [vendor for vendor in VENDORS if env.get(vendor.key_env, "").strip()]
    if not vendors:
        *names, last = (vendor.key_env for vendor in VENDORS)
        listed = f"{', '.join(names)} or {last}"
        message = f"no configuration and no provider key: set {listed}, or name a file with"
        raise ConfigError((f"{message} --config FILE; `sidecar demo` needs neither",))
    rows = ["providers:", *(_provider(vendor, env) for vendor in vendors)]
    rows += ["models:", *(row for vendor in vendors for row in _models(vendor))]
    rows += ["routes:", *_routes(vendors)]
    return "\n".join(rows) + "\n"


def describe(config: Config) -> list[str]:
    """Return what was built, a line each, for people."""
    providers = ", ".join(
        f"{name} ({target.api_key.env if target.api_key else 'no key'}, {target.base_url})"
        for name, target in config.targets.items()
    )
    routes = [route for route in config.catalogue.routes.values() if route.is_task]
    return [
        f"providers: {providers}",
        *(
            f"route {route.name}: {' > '.join(', '.join(tier) for tier in route.tiers)}"
            f" within {format_duration(route.within_s)}"
            for route in routes
        ),
    ]


def _provider(vendor: _Vendor, env: Mapping[str, str]) -> str:
    """Return the entry of one provider."""
    url = env.get(vendor.url_env, "").strip() if vendor.url_env else ""
    url = url.rstrip("/") + vendor.url_suffix if url else ""
    base_url = f", base_url: {json.dumps(url)}" if url else ""
    return f"  {vendor.kind}: {{kind: {vendor.kind}, api_key: {{env: {vendor.key_env}}}{base_url}}}"


def _models(vendor: _Vendor) -> list[str]:
    """Return the entries of one vendor's models."""
    pairs = ((vendor.strong, vendor.strong_extra), (vendor.small, vendor.small_extra))
    return [
        f"  {_name(vendor, model)}: {{provider: {vendor.kind}, model: {model}, {extra}}}"
        for model, extra in pairs
    ]


def _name(vendor: _Vendor, model: str) -> str:
    """Return what callers say; a model that many offer is named after who offers it."""
    maker, _, own = model.rpartition("/")
    return f"{vendor.kind}-{own}" if maker else own


def _routes(vendors: list[_Vendor]) -> list[str]:
    """Return the tasks: strong models first with small ones behind, and the reverse."""
    leading = [vendor for vendor in vendors if vendor.is_leading] or vendors
    second = [vendor for vendor in vendors if vendor not in leading]
    best, behind = (
        [_name(vendor, vendor.strong) for vendor in group] for group in (leading, second)
    )
    small = ", ".join(_name(vendor, vendor.small) for vendor in vendors)
    strong = f"[{', '.join(best)}]" + (f", [{', '.join(behind)}]" if behind else "")
    ordered = ", ".join(f"[{name}]" for name in (*best, *behind))
    return [
        f"  reason: {{tiers: [{ordered}, [{small}]], within: 120s}}",
        f"  chat: {{tiers: [{strong}, [{small}]], within: 60s}}",
        f"  summarize: {{tiers: [{strong}, [{small}]], within: 60s}}",
        f"  extract: {{tiers: [[{small}], {strong}], within: 30s}}",
        f"  classify: {{tiers: [[{small}], {strong}], within: 15s}}",
    ]
