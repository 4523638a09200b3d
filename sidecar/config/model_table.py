"""What is known of public models beside price and context: what they lack, how long they write.

A small table, kept by hand, of what vendors document and what does not change with a model's next
minor version. It lists what a model surely lacks; what is not here is assumed to work, so a model
that is newer than the table is never refused for it. The first matching line counts: dated and
small models before their family. A line is found anywhere behind the start, a slash or a dot, since
aggregators and clouds put the vendor's name before the model's.
"""

from __future__ import annotations

import re
from typing import Final

from sidecar.abilities import Abilities, Ability

_HANDS: Final = frozenset({Ability.TOOLS, Ability.FORCED_TOOL, Ability.PARALLEL_TOOLS})
_CLAUDE: Final = _HANDS | {Ability.VISION}
_GPT: Final = _HANDS | {Ability.VISION, Ability.SCHEMA}


def _line(
    pattern: str,
    *,
    can: frozenset[Ability] = frozenset(),
    cannot: frozenset[Ability] = frozenset(),
    output: int | None = None,
) -> tuple[re.Pattern[str], Abilities]:
    facts = Abilities(can=can, cannot=cannot, output_tokens_max=output)
    return re.compile(rf"(?:^|[/.])(?:{pattern})"), facts


_NO_EYES: Final = frozenset({Ability.VISION})
_NO_LOGPROBS: Final = frozenset({Ability.LOGPROBS})
_NO_PREFILL: Final = frozenset({Ability.PREFILL})
_OLD_GPT: Final = frozenset({Ability.VISION, Ability.SCHEMA})

TABLE: Final = (
    _line(r"claude-3-(?:opus|sonnet|haiku)", can=_CLAUDE, cannot=_OLD_GPT - _NO_EYES, output=4096),
    _line(r"claude-3-5-", can=_CLAUDE, cannot=_OLD_GPT - _NO_EYES, output=8192),
    _line(r"claude-opus-4-[01](?!\d)", can=_CLAUDE, output=32_000),
    _line(r"claude-(?:opus|sonnet|haiku)-4-5", can=_CLAUDE | {Ability.SCHEMA}, output=64_000),
    # From 4.6 on a trailing assistant turn is a 400.
    _line(r"claude-(?:opus|sonnet)-4-[678]", can=_CLAUDE | {Ability.SCHEMA}, cannot=_NO_PREFILL),
    _line(r"claude-[a-z]+-[5-9]", can=_CLAUDE | {Ability.SCHEMA}, cannot=_NO_PREFILL),
    _line(r"gpt-3\.5-turbo", can=_HANDS, cannot=_OLD_GPT, output=4096),
    _line(r"gpt-4-turbo", can=_HANDS | _NO_EYES, cannot=_OLD_GPT - _NO_EYES, output=4096),
    _line(r"gpt-4o-2024-05-13", can=_HANDS | _NO_EYES, cannot=_OLD_GPT - _NO_EYES, output=4096),
    _line(r"gpt-4o(?!-(?:audio|realtime|transcribe|search))", can=_GPT, output=16_384),
    _line(r"gpt-4\.1", can=_GPT, output=32_768),
    _line(r"gpt-5(?:\.\d)?-pro", can=_GPT),
    # Later ones can be told not to reason, and then have logprobs.
    _line(r"gpt-5(?:-mini|-nano)?(?:-20|$)", can=_GPT, cannot=_NO_LOGPROBS, output=128_000),
    _line(r"gpt-5(?!-chat)", can=_GPT, output=128_000),
    _line(r"o1-(?:mini|preview)", cannot=_GPT | _NO_LOGPROBS),
    _line(r"o3-mini", can=_GPT - _NO_EYES, cannot=_NO_EYES | _NO_LOGPROBS, output=100_000),
    _line(r"o[134](?:-(?:mini|pro))?(?:-\d|$)", can=_GPT, cannot=_NO_LOGPROBS, output=100_000),
    _line(r"gpt-oss-", can=_HANDS - {Ability.PARALLEL_TOOLS}, cannot=_NO_EYES),
    _line(r"(?i:deepseek-(?:r1|v3))", can=_HANDS, cannot=_NO_EYES),
    _line(r"(?i:(?:meta-)?llama-?3(?:\.[13])?-\d+b)", cannot=_NO_EYES),
    _line(r"(?i:mi[sx]tral-\d+x?\d*b|open-mi[sx]|mistral-nemo|codestral)", cannot=_NO_EYES),
)


def known_of(model: str) -> Abilities:
    """Return what the table says of a provider's model name, nothing if it has no line for it."""
    return next((facts for pattern, facts in TABLE if pattern.search(model)), Abilities())
