"""What there is to know of a kind of provider, as data: address, credentials, dialect, habits."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sidecar.abilities import Abilities, Dialect
from sidecar.upstream.error_rules import COMMON_RULES
from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.domain import WireFormat
    from sidecar.upstream.error_rules import ErrorRule


@value
class Kind:
    """A kind of provider; codec paths (``/chat/completions``, …) are below ``base_url``.

    ``forward_headers``: names, in lower case, of caller headers that it may see; one sent by the
    caller replaces the ``fixed_headers`` entry of that name. ``key_env``: where its own SDK looks
    for the key. ``max_tokens_field`` is the dialect of the provider itself; servers that merely
    speak its format at another base URL know ``compatible_max_tokens_field``, and may need no key.
    ``own_hosts``: domains that are the provider itself, beside the host of ``base_url``.
    ``is_local``: a server of one's own, which needs no key, costs nothing a token and is slowed by
    our own load. ``bills_cut_answers``: hanging up stops neither its work nor its bill.
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
    own_hosts: tuple[str, ...] = ()
    is_local: bool = False
    bills_cut_answers: bool = False
    is_aws: bool = False
    accept: str | None = None
    makes_predictions: bool = False
    abilities: Abilities = field(default_factory=Abilities)
    dialect: Dialect = field(default_factory=Dialect)

    def base_url_in(self, region: str | None) -> str | None:
        """Return the default base URL, None if there is none without more being said."""
        if self.base_url is None or not self.is_aws:
            return self.base_url
        return self.base_url.format(region=region) if region else None

    def is_own(self, base_url: str | None) -> bool:
        """Say whether ``base_url`` (None: the default) is the provider itself or a region of it."""
        if base_url is None:
            return True
        own = (urlsplit(self.base_url or "").hostname, *self.own_hosts)
        host = urlsplit(base_url).hostname or ""
        return any(name and (host == name or host.endswith("." + name)) for name in own)

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
