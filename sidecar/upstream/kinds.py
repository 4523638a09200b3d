"""Every kind of provider by its name in the configuration.

A new provider is a new entry, never a branch in the control flow: here for the two first vendors,
in ``kinds_native.py`` for others with a format of
their own, in ``kinds_hosted.py`` and ``kinds_local.py`` for those that offer OpenAI's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sidecar.abilities import Abilities, Ability
from sidecar.domain import WireFormat
from sidecar.upstream.kind import Kind
from sidecar.upstream.kinds_hosted import HOSTED
from sidecar.upstream.kinds_local import LOCAL
from sidecar.upstream.kinds_native import NATIVE

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            name="openai",
            format=WireFormat.OPENAI_CHAT,
            # servers that merely speak its format are asked in chat, which they all know
            also=(WireFormat.OPENAI_RESPONSES, WireFormat.OPENAI_EMBEDDINGS),
            compatible_also=(WireFormat.OPENAI_EMBEDDINGS,),
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
            abilities=Abilities(cannot=frozenset({Ability.LOGPROBS, Ability.SEED})),
        ),
        *NATIVE,
        *HOSTED,
        *LOCAL,
    )
}
