"""What a play is worth: the figures of the study, read off callers and providers' logs.

* *Good*: whole, in time, and known to be so. *Goodput* is good answers over the oracle's.
* *Avoidable errors*: calls that failed for the caller and not for the oracle; those before first
  content, those that broke a stream under way, and answers cut off without anybody noticing.
* *Time to detect*: from the start of the fault until the sick provider gets at most 5 % of the next
  20 calls, and, where a gate keeps them away (its breaker, its silence), until that is shut.
* *Time to recover*: from the end of the fault until it gets 80 % of what it got before, over 10
  calls. *Service back*: until the start of the last call after the fault that failed.
* *Amplification*: requests of callers' calls at all providers over calls; probes are told apart.
* Money: what providers billed from the end of the warm-up on.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from sidecar.simulate.plays import WARM_S
from sidecar.upstream.simulated_exchange import Ended
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sidecar.simulate.client import Result
    from sidecar.simulate.plays import Played
    from sidecar.upstream.simulated import LogEntry

DETECT_SHARE, DETECT_CALLS, DETECT_CALLS_MIN = 0.05, 20, 5
RECOVER_SHARE, RECOVER_CALLS = 0.8, 10
KNOWN_AFTER_CALLS = 12
"""So many calls into a fault an error is no discovery any more."""
NEVER_S = float("inf")
HTTP_OK = 200
SMALL = "gamma/gamma-small"


@value
class Figures:
    """One play in numbers, or the pool of several.

    ``small``: good answers of the small model. ``errors`` before first content, ``broken`` streams
    and ``cut`` answers are avoidable ones. ``detect_s``, ``recover_s`` have one value a play where
    they apply; infinite: never. ``back_s`` and ``refusal_s`` (the slowest error once the fault is
    known, None without any) are the worst.
    """

    calls: int
    good: int
    oracle_good: int
    errors: int
    broken: int
    cut: int
    detect_s: tuple[float, ...]
    recover_s: tuple[float, ...]
    back_s: float
    refusal_s: float | None
    small: int
    sick_after: int
    calls_after: int
    sent: int
    failed: int
    usd: float
    oracle_usd: float
    probe_usd: float
    hedge_usd: float
    lost_usd: float
    first_s: tuple[float, ...]
    changes: int

    @property
    def goodput(self) -> float:
        """Good answers over the oracle's."""
        return self.good / self.oracle_good if self.oracle_good else 1.0

    @property
    def amplification(self) -> float:
        """Requests over calls."""
        return self.sent / self.calls if self.calls else 1.0

    @property
    def sick_share(self) -> float | None:
        """Share of the calls after detection that went to the sick provider."""
        return self.sick_after / self.calls_after if self.calls_after else None

    @property
    def overhead(self) -> float:
        """Spend above the oracle's, as a share of it."""
        return self.usd / self.oracle_usd - 1.0 if self.oracle_usd else 0.0

    def first_quantile_s(self, share: float) -> float | None:
        """Return a quantile of the time to first content of streams during the fault."""
        return quantile(self.first_s, share)


def quantile(values: Iterable[float], share: float) -> float | None:
    """Return the smallest value that at least ``share`` of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None


def figures_of(played: Played, oracle: Played) -> Figures:
    """Return the figures of one play beside the oracle's of the same world."""
    until = played.fault_until + played.scenario.judged_after_s
    during = _window(played.calls, played.fault_at, until)
    pairs = [
        (own, best)
        for own, best in zip(played.calls, oracle.calls, strict=True)
        if played.fault_at <= own.started_at < until
    ]
    avoidable = [own for own, best in pairs if best.is_good and not own.is_good]
    detect_s, recover_s = _detect_s(played), _recover_s(played)
    # What was never detected is judged by the whole fault.
    after_at = played.fault_at + (0.0 if detect_s in (None, NEVER_S) else detect_s or 0.0)
    sent = [one for log in played.logs.values() for one in _sent(log, played.fault_at, until)]
    billed = [one for log in played.logs.values() for one in log if one.at_s >= WARM_S]
    cut = [one for one in avoidable if one.is_silently_cut]
    broken = [one for one in avoidable if not one.is_silently_cut and one.first_at is not None]
    return Figures(
        calls=len(during),
        good=sum(one.is_good for one in during),
        oracle_good=sum(best.is_good for _, best in pairs),
        errors=len(avoidable) - len(cut) - len(broken),
        broken=len(broken),
        cut=len(cut),
        detect_s=() if detect_s is None else (detect_s,),
        recover_s=() if recover_s is None else (recover_s,),
        back_s=_back_s(played),
        refusal_s=_refusal_s(played, during),
        small=sum(one.is_good and _is_small(one) for one in during),
        sick_after=len(_sent(played.logs[played.scenario.sick], after_at, played.fault_until)),
        calls_after=len(_window(played.calls, after_at, played.fault_until)),
        sent=len(sent),
        failed=sum(not _is_answer(one) for one in sent),
        usd=sum(one.cost_usd for one in billed),
        oracle_usd=sum(
            one.cost_usd for log in oracle.logs.values() for one in log if one.at_s >= WARM_S
        ),
        probe_usd=sum(one.cost_usd for one in billed if one.is_probe),
        hedge_usd=played.hedge_usd,
        lost_usd=sum(
            one.cost_usd for one in billed if not one.is_probe and one.ended is not Ended.COMPLETE
        ),
        first_s=tuple(
            one.first_at - one.started_at
            for one in during
            if one.is_stream and one.first_at is not None
        ),
        changes=played.changes,
    )


def pool(several: Sequence[Figures]) -> Figures:
    """Return the figures of several plays of one kind: sums, and the worst of each time."""
    return Figures(
        calls=sum(one.calls for one in several),
        good=sum(one.good for one in several),
        oracle_good=sum(one.oracle_good for one in several),
        errors=sum(one.errors for one in several),
        broken=sum(one.broken for one in several),
        cut=sum(one.cut for one in several),
        detect_s=tuple(value for one in several for value in one.detect_s),
        recover_s=tuple(value for one in several for value in one.recover_s),
        back_s=max(one.back_s for one in several),
        refusal_s=_worst(one.refusal_s for one in several),
        small=sum(one.small for one in several),
        sick_after=sum(one.sick_after for one in several),
        calls_after=sum(one.calls_after for one in several),
        sent=sum(one.sent for one in several),
        failed=sum(one.failed for one in several),
        usd=sum(one.usd for one in several),
        oracle_usd=sum(one.oracle_usd for one in several),
        probe_usd=sum(one.probe_usd for one in several),
        hedge_usd=sum(one.hedge_usd for one in several),
        lost_usd=sum(one.lost_usd for one in several),
        first_s=tuple(first_s for one in several for first_s in one.first_s),
        changes=max(one.changes for one in several),
    )


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _window(calls: Iterable[Result], start: float, end: float) -> list[Result]:
    return [one for one in calls if start <= one.started_at < end]


def _sent(log: Iterable[LogEntry], start: float, end: float) -> list[LogEntry]:
    """Return the requests of callers' calls in (start, end); the one at ``start`` told of it."""
    return [one for one in log if start < one.at_s < end and not one.is_probe]


def _is_small(result: Result) -> bool:
    return result.endpoint == SMALL


def _is_answer(entry: LogEntry) -> bool:
    return entry.status == HTTP_OK and entry.ended is Ended.COMPLETE


def _detect_s(played: Played) -> float | None:
    """None where no fault is staged, or where there is nobody else to go to."""
    if not played.scenario.has_fault or not played.scenario.has_refuge:
        return None
    span_s = DETECT_CALLS / played.rate_per_s
    log = played.logs[played.scenario.sick]
    touched = [one.at_s for one in _sent(log, played.fault_at, played.fault_until)]
    for at in (played.fault_at, *touched):
        until = min(at + span_s, played.fault_until)
        calls = len(_window(played.calls, at, until))
        if calls < DETECT_CALLS_MIN:
            break
        if len(_sent(log, at, until)) <= DETECT_SHARE * calls:
            shut = [one for one in played.shut_at if played.fault_at <= one <= until]
            known_at = max(at, shut[0]) if shut else at
            return known_at - played.fault_at
    return NEVER_S


def _recover_s(played: Played) -> float | None:
    """None where the sick provider had no traffic before, or nothing is staged."""
    log = played.logs[played.scenario.sick]
    before = _window(played.calls, WARM_S, played.fault_at)
    share = len(_sent(log, WARM_S, played.fault_at)) / max(1, len(before))
    after = [one.started_at for one in played.calls if one.started_at >= played.fault_until]
    if share == 0.0 or not played.scenario.has_fault:
        return None
    for at, end in zip(after, after[RECOVER_CALLS:], strict=False):
        touched = sum(at <= one.at_s < end and not one.is_probe for one in log)
        if touched >= RECOVER_SHARE * share * RECOVER_CALLS:
            return at - played.fault_until
    return NEVER_S


def _back_s(played: Played) -> float:
    late = [
        one.started_at - played.fault_until
        for one in played.calls
        if one.started_at >= played.fault_until and not one.is_good
    ]
    return max(late, default=0.0)


def _refusal_s(played: Played, during: Sequence[Result]) -> float | None:
    known_at = played.fault_at + KNOWN_AFTER_CALLS / played.rate_per_s
    waits = [
        one.ended_at - one.started_at
        for one in during
        if known_at <= one.started_at < played.fault_until and not one.is_delivered
    ]
    return max(waits, default=None)
