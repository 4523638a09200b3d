"""Which stretches of a period are played, and what each stands for.

Between two changes of the weather (an incident begins or ends) the world is in one state. What is
particular happens after a change: outages are detected, breakers open, everybody comes back. So the
first ``head_s`` after each change are played whole, and of the rest, in which things go on as they
are, slices of ``slice_s`` are played, spread evenly with a random offset. All slices of one state
together are the sample by which the rest of it is judged (``tally.py``). What is played is strung
together: an engine lives through heads and slices one after the other, as if the time between had
been left out.

``head_s`` is longer than anything the engine remembers of an outage: a breaker's pause grows to 120
s, latency fades over 300 s. How dense the slices are follows from how much may be played
(``seconds_max``); where the whole period fits, all of it is played and nothing is sampled.
"""

from __future__ import annotations

import itertools
import math
import random
from typing import TYPE_CHECKING

from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.simulate.whatif.inputs import Incident

HEAD_S = 300.0
SLICE_S = 120.0
SECONDS_MAX = 60_000.0
FAULTY_DENSER = 4.0
"""Slices in an incident lie so much closer than in calm weather: there the answers differ."""
SPACING_S_MAX = 30 * 86_400.0

State = tuple[tuple[str, str, float, str, int, float], ...]
"""What is wrong, ordered; empty in calm weather."""


@value
class Sampling:
    """``seconds_max`` bounds what is played, but for heads and a slice each; infinite: all."""

    head_s: float = HEAD_S
    slice_s: float = SLICE_S
    seconds_max: float = SECONDS_MAX


@value
class Piece:
    """A stretch that is played: from ``start_s`` (real, since 1970) for ``length_s``.

    ``is_sample``: it stands for all that is not played of its ``state``; else for itself.
    ``active``: the incidents of the state.
    """

    start_s: float
    length_s: float
    state: State
    active: tuple[Incident, ...]
    is_sample: bool


@value
class Rest:
    """A stretch that is judged by the slices of ``state``."""

    start_s: float
    end_s: float
    state: State


@value
class Timeline:
    """A period: ``pieces`` in order, ``rests`` between and around them."""

    start_s: float
    end_s: float
    pieces: tuple[Piece, ...]
    rests: tuple[Rest, ...]

    @property
    def played_s(self) -> float:
        """Return the seconds that are played."""
        return sum(piece.length_s for piece in self.pieces)


@value
class _Span:
    """The time between two changes of the weather."""

    start_s: float
    end_s: float
    active: tuple[Incident, ...]

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s

    def state(self) -> State:
        return tuple(sorted({one.sickness() for one in self.active}))


def lay_out(
    incidents: Sequence[Incident], period: tuple[float, float], sampling: Sampling, seed: int
) -> Timeline:
    """Return how ``period`` (start, end; since 1970) is played."""
    spans = _spans(incidents, period)
    spacing_s = _spacing(spans, sampling)
    rng = random.Random(f"slices/{seed}")
    pieces: list[Piece] = []
    rests: list[Rest] = []
    for span in spans:
        _lay_span(span, _spacing_of(span, spacing_s), sampling, rng, (pieces, rests))
    return Timeline(start_s=period[0], end_s=period[1], pieces=tuple(pieces), rests=tuple(rests))


def _spans(incidents: Sequence[Incident], period: tuple[float, float]) -> list[_Span]:
    """Return the period cut at every change, in order."""
    start_s, end_s = period
    inside = [one for one in incidents if one.start_s < end_s and one.end_s > start_s]
    cuts = {start_s, end_s}
    for one in inside:
        cuts |= {max(start_s, one.start_s), min(end_s, one.end_s)}
    ordered = sorted(cuts)
    spans: list[_Span] = []
    for begin, end in itertools.pairwise(ordered):
        active = tuple(one for one in inside if one.start_s < end and one.end_s > begin)
        spans.append(_Span(start_s=begin, end_s=end, active=active))
    return spans


def _spacing_of(span: _Span, spacing_s: float) -> float:
    return spacing_s / FAULTY_DENSER if span.active else spacing_s


def _spacing(spans: Sequence[_Span], sampling: Sampling) -> float:
    """Return the least distance of calm slices that keeps within ``seconds_max``."""
    low, high = sampling.slice_s, SPACING_S_MAX
    if _played_s(spans, low, sampling) <= sampling.seconds_max:
        return low
    for _ in range(40):  # halving: 30 days to well below a second
        middle = math.sqrt(low * high)
        if _played_s(spans, middle, sampling) <= sampling.seconds_max:
            high = middle
        else:
            low = middle
    return high


def _played_s(spans: Sequence[_Span], spacing_s: float, sampling: Sampling) -> float:
    total_s = 0.0
    for span in spans:
        count = _slices(span, _spacing_of(span, spacing_s), sampling)
        whole = span.length_s if count is None else sampling.head_s + count * sampling.slice_s
        total_s += whole
    return total_s


def _slices(span: _Span, spacing_s: float, sampling: Sampling) -> int | None:
    """Return how many slices follow the head; None: the span is played whole."""
    rest_s = span.length_s - sampling.head_s
    count = max(1, math.ceil(rest_s / max(spacing_s, sampling.slice_s)))
    return None if rest_s <= count * sampling.slice_s else count


def _lay_span(
    span: _Span,
    spacing_s: float,
    sampling: Sampling,
    rng: random.Random,
    into: tuple[list[Piece], list[Rest]],
) -> None:
    pieces, rests = into
    state = span.state()
    count = _slices(span, spacing_s, sampling)
    head_s = span.length_s if count is None else sampling.head_s
    pieces.append(
        Piece(
            start_s=span.start_s,
            length_s=head_s,
            state=state,
            active=span.active,
            is_sample=False,
        )
    )
    if count is None:
        return
    rest_at = span.start_s + head_s
    rests.append(Rest(start_s=rest_at, end_s=span.end_s, state=state))
    stratum_s = (span.end_s - rest_at) / count
    for number in range(count):
        offset_s = rng.uniform(0.0, stratum_s - sampling.slice_s)
        pieces.append(
            Piece(
                start_s=rest_at + number * stratum_s + offset_s,
                length_s=sampling.slice_s,
                state=state,
                active=span.active,
                is_sample=True,
            )
        )
