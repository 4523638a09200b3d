"""What is known of each kind of provider, as data: address, authentication, meaning of errors.

A new provider is a new entry here, never a branch in the control flow. What its errors mean is in
``error_rules.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sidecar.domain import WireFormat
from sidecar.upstream.error_rules import COMMON_RULES, ErrorRule
from sidecar.upstream.error_rules_native import BEDROCK_RULES, OLLAMA_RULES

if TYPE_CHECKING:
    from collections.abc import Mapping

SIGNING_PACKAGE: Final = "botocore"
"""Signs requests to AWS; an extra."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of provider; codec paths (``/chat/completions``, …) are below ``base_url``.

    ``forward_headers``: names, in lower case, of caller headers that it may see; one sent by the
    caller replaces the ``fixed_headers`` entry of that name. ``key_env``: where its own SDK looks
    for the key. ``max_tokens_field`` is the dialect of the provider itself; servers that merely
    speak its format at another base URL know ``compatible_max_tokens_field``, and may need no key.
    ``is_local``: a server of one's own, which needs no key and is slowed by our own load.
    ``is_aws``: the base URL names the entry's region, and its requests may be signed instead of
    carrying a key. ``accept`` replaces the header of that name. ``makes_predictions``: an answer
    takes several requests (``predictions.py``).
    """

    name: str
    format: WireFormat
    also: tuple[WireFormat, ...] = ()
    compatible_also: tuple[WireFormat, ...] = ()
    base_url: str | None
    auth_header: str
    auth_prefix: str
    key_env: str
    max_tokens_field: str
    compatible_max_tokens_field: str
    free_probe_path: str | None
    fixed_headers: tuple[tuple[str, str], ...] = ()
    forward_headers: frozenset[str] = frozenset()
    error_rules: tuple[ErrorRule, ...] = COMMON_RULES
    is_local: bool = False
    is_aws: bool = False
    accept: str | None = None
    makes_predictions: bool = False

    def base_url_in(self, region: str | None) -> str | None:
        """Return the default base URL, None if there is none without more being said."""
        if self.base_url is None or not self.is_aws:
            return self.base_url
        return self.base_url.format(region=region) if region else None

    def is_own(self, base_url: str | None) -> bool:
        """Say whether ``base_url`` (None: the default) is the provider itself or a region of it."""
        if base_url is None or self.base_url is None:
            return base_url is None
        own_host = urlsplit(self.base_url).hostname or ""
        host = urlsplit(base_url).hostname or ""
        return host == own_host or host.endswith("." + own_host)

    def also_at(self, base_url: str | None) -> tuple[WireFormat, ...]:
        """Return the further formats that are spoken at ``base_url``."""
        return self.also if self.is_own(base_url) else self.compatible_also

    def max_tokens_field_at(self, base_url: str | None) -> str:
        """Return the request field that bounds the answer at ``base_url``."""
        is_own = self.is_own(base_url)
        return self.max_tokens_field if is_own else self.compatible_max_tokens_field

    def needs_key_at(self, base_url: str | None) -> bool:
        """Say whether a provider at ``base_url`` cannot be used without a key."""
        return self.is_own(base_url) and not self.is_local


KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            name="openai",
            format=WireFormat.OPENAI_CHAT,
            base_url="https://api.openai.com/v1",
            auth_header="authorization",
            auth_prefix="Bearer ",
            key_env="OPENAI_API_KEY",
            max_tokens_field="max_completion_tokens",
            compatible_max_tokens_field="max_tokens",
            free_probe_path="/models",
            # openai-organization and openai-project belong to the caller's account, not to ours
            forward_headers=frozenset({"openai-beta"}),
        ),
        Kind(
            name="anthropic",
            format=WireFormat.ANTHROPIC_MESSAGES,
            base_url="https://api.anthropic.com",
            auth_header="x-api-key",
            auth_prefix="",
            key_env="ANTHROPIC_API_KEY",
            max_tokens_field="max_tokens",
            compatible_max_tokens_field="max_tokens",
            free_probe_path="/v1/models",
            # the version that still takes sampling parameters, for translated calls
            fixed_headers=(("anthropic-version", "2023-06-01"),),
            forward_headers=frozenset({"anthropic-version", "anthropic-beta"}),
        ),
        Kind(
            name="ollama",
            format=WireFormat.OLLAMA_CHAT,
            base_url="http://127.0.0.1:11434",
            auth_header="authorization",
            auth_prefix="Bearer ",
            key_env="OLLAMA_API_KEY",
            max_tokens_field="num_predict",
            compatible_max_tokens_field="num_predict",
            free_probe_path="/api/tags",
            error_rules=(*OLLAMA_RULES, *COMMON_RULES),
            is_local=True,
        ),
        Kind(
            name="bedrock",
            format=WireFormat.BEDROCK_CONVERSE,
            base_url="https://bedrock-runtime.{region}.amazonaws.com",
            auth_header="authorization",
            auth_prefix="Bearer ",
            key_env="AWS_BEARER_TOKEN_BEDROCK",
            max_tokens_field="maxTokens",
            compatible_max_tokens_field="maxTokens",
            free_probe_path=None,
            error_rules=(*BEDROCK_RULES, *COMMON_RULES),
            is_aws=True,
            accept="application/json, application/vnd.amazon.eventstream",
        ),
        Kind(
            name="replicate",
            format=WireFormat.REPLICATE,
            base_url="https://api.replicate.com",
            auth_header="authorization",
            auth_prefix="Bearer ",
            key_env="REPLICATE_API_TOKEN",
            max_tokens_field="max_tokens",
            compatible_max_tokens_field="max_tokens",
            free_probe_path="/v1/account",
            makes_predictions=True,
        ),
    )
}


def can_sign() -> bool:
    """Return whether the package that signs is installed."""
    return find_spec(SIGNING_PACKAGE) is not None
