"""Answers kept for the hour in which nobody else answers: exact requests only, never as a shortcut.

Vectors are kept as answers in words are; for the same model and text they do not even age.

A stale answer is served where an error would be, to a route that permits it, marked as such. Never
for requests with tools. Bounded in entries and bytes; the oldest use goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.core.tunable import Tunable
from sidecar.domain import Rung
from sidecar.value import value
from sidecar.wire.cache_key import cache_key, is_cacheable
from sidecar.wire.neutral import Finish, TextPart

if TYPE_CHECKING:
    from sidecar.domain import Call
    from sidecar.wire.neutral import Completion

NUMBER_BYTES = 32
"""What a number of a vector takes in memory."""


@value
class CacheSettings:
    """Bounds of the stale cache: a sidecar is small, and so is what it remembers."""

    entries_max: int = 512
    answer_bytes_max: int = 256 * 1024
    bytes_max: int = 16 * 1024 * 1024


@value
class _Entry:
    completion: Completion
    stored_at: float
    size: int


class StaleCache(Tunable[CacheSettings]):
    """Owns the kept answers, least recently used first."""

    def __init__(self, settings: CacheSettings) -> None:
        self._settings = settings
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0

    def wants(self, call: Call) -> bool:
        """Return whether answers to ``call`` may be kept and served stale."""
        is_permitted = Rung.STALE in call.route.rungs and call.constraints.may_use_cache
        return is_permitted and (bool(call.facts.inputs_count) or is_cacheable(call.body))

    def store(self, call: Call, completion: Completion, now: float) -> None:
        """Keep the text or vectors of a complete answer; one without either, not wanted or too
        large is let go.
        """
        if completion.finish is not Finish.STOP or not self.wants(call):
            return
        # Reasoning and its signatures mean nothing an hour later, and would not be counted.
        texts = tuple(part for part in completion.parts if isinstance(part, TextPart))
        size = sum(len(part.text.encode("utf-8", "replace")) for part in texts)
        size += sum(NUMBER_BYTES * len(one.numbers or ()) for one in completion.vectors)
        if not 0 < size <= self._settings.answer_bytes_max:
            return
        completion = replace(completion, parts=texts)
        key = _key(call)
        self._drop(key)
        self._entries[key] = _Entry(completion=completion, stored_at=now, size=size)
        self._bytes += size
        while self._bytes > self._settings.bytes_max or (
            len(self._entries) > self._settings.entries_max
        ):
            self._drop(next(iter(self._entries)))

    def find(self, call: Call, now: float) -> Completion | None:
        """Return the answer kept for exactly this request, if it is not too old."""
        if not self.wants(call):
            return None
        key = _key(call)
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now - entry.stored_at > call.route.stale_s_max:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.completion

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size


def _key(call: Call) -> str:
    return cache_key(
        call.body, wire_format=call.format, route=call.route.name, headers=call.forward_headers
    )
