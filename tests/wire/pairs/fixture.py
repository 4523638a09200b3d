"""What a wire format's fixtures have to say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Fixture:
    """One format's words for what ``meaning.ASKED`` asks and ``meaning.SAID`` says.

    ``asks``: requests of its callers by feature (none where only providers speak it). ``answers``
    and ``streams``: what its providers answer. ``cannot``: features that the format has no words
    for, as an ask (``ask: stop``) or an answer (``answer: refusal``), each with the reason.
    ``lacks``: aspects of a feature that it has no words for (``meaning.of_request`` and
    ``of_answer`` name them), by ``ask: …``, ``answer: …``, or ``stream: …`` where only streams do.
    """

    answers: Mapping[str, bytes]
    streams: Mapping[str, bytes]
    asks: Mapping[str, bytes] = field(default_factory=dict)
    cannot: Mapping[str, str] = field(default_factory=dict)
    lacks: Mapping[str, frozenset[str]] = field(default_factory=dict)
