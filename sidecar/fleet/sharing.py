"""What a fleet divides among its pods: money of daily caps, limits of accounts, their rests.

A cap is the fleet's: what other pods spent of it is as good as spent here. Each pod tells its own
total of the day, so that a store which loses everything is whole again a moment later, and nothing
that is told twice counts twice. What is under way elsewhere is not told: the fleet may overshoot by
that, and by what it spends in two seconds.

A configured limit of requests or tokens is the account's: each pod paces by its share, which is its
part of the demand, with a little for everybody so that a pod which wakes up can begin.

Without a store a pod goes on with what it knew last: a share of the money that was left and of the
limits, as if all were equal. So a fleet that is cut off cannot spend a cap N times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sidecar.fleet.names import short

if TYPE_CHECKING:
    from sidecar.domain import ProviderName
    from sidecar.engine.hearsay import Hearsay
    from sidecar.fleet.names import Names
    from sidecar.fleet.push import Push
    from sidecar.fleet.settings import FleetSettings
    from sidecar.fleet.view import View

WINDOW_S = 20.0
IDLE_PARTS = 0.1
"""Of the even share, what a pod without demand keeps."""
RETELL_S = 30.0


@dataclass(slots=True)
class _Spent:
    """Of one cap: what was spent before this pod told anything, and what it told last."""

    baseline_usd: float
    told_usd: float = 0.0
    told_at: float | None = None
    elsewhere_usd: float = 0.0
    fell_at: float | None = None

    def hear(self, total_usd: float, now: float) -> float:
        """Return what others spent. A sum that falls is a store that forgot: until all have told
        it again, the former holds.
        """
        others_usd = max(0.0, total_usd - self.told_usd - self.baseline_usd)
        if others_usd >= self.elsewhere_usd:
            self.elsewhere_usd, self.fell_at = others_usd, None
        elif self.fell_at is None:
            self.fell_at = now
        elif now - self.fell_at > 2 * RETELL_S:
            self.elsewhere_usd, self.fell_at = others_usd, None
        return self.elsewhere_usd


class Sharing:
    """Owns what was told of the caps and of the day they are of."""

    def __init__(self, hearsay: Hearsay, settings: FleetSettings) -> None:
        self._hearsay = hearsay
        self._settings = settings
        self._spent: dict[str, _Spent] = {}
        self._day: int | None = None
        self._rests: dict[ProviderName, float] = {}
        self._means: dict[ProviderName, float] = {}

    def tell(self, push: Push, names: Names, now: float) -> None:
        """Add one's own totals of the day, and the requests that wait for their turn."""
        day = self._hearsay.caps_day
        if day is not None:
            if day != self._day:
                self._day = day if self._day is None or day > self._day else self._day
                self._spent = {}
            push.y = day
        for scope, name, cap in self._hearsay.caps():
            key = short("cap", scope, name)
            known = self._spent.get(key)
            if known is None:
                # What a former life of this pod spent, it told itself.
                known = self._spent[key] = _Spent(baseline_usd=cap.spent_usd)
            own_usd = max(0.0, cap.spent_usd - known.baseline_usd)
            is_old = known.told_at is None or now - known.told_at >= RETELL_S
            if own_usd > known.told_usd or is_old:
                push.u[key] = known.told_usd = own_usd
                known.told_at = now
        for provider, pacer in self._hearsay.pacers():
            if pacer.waiting:
                account = names.account(provider)
                used = push.q.get(account, (0.0, 0.0))
                push.q[account] = (used[0] + pacer.waiting, used[1])

    def hear(self, view: View, names: Names, own: Push, now: float) -> None:
        """Enter what others spent, use and were told to wait for."""
        if view.day == self._hearsay.caps_day:
            for scope, name, cap in self._hearsay.caps():
                key = short("cap", scope, name)
                if (known := self._spent.get(key)) is not None:
                    cap.elsewhere_usd = known.hear(view.sums.get(key, 0.0), now)
        for provider, pacer in self._hearsay.pacers():
            account = names.account(provider)
            total = view.demand.get(account, (0.0, 0.0))[0]
            floor = IDLE_PARTS * WINDOW_S / view.pods
            mine = self._demand(provider, own.q.get(account, (0.0, 0.0))[0])
            share = (mine + floor) / (max(total, mine) + floor * view.pods)
            pacer.take_share(min(1.0, max(share, IDLE_PARTS / view.pods)), now)
        self._rest(view, names, now)

    def missed(self) -> None:
        """Tell everything again: the last push did not arrive, or nobody knows."""
        for known in self._spent.values():
            known.told_at = None

    def alone(self, pods: int, now: float) -> None:
        """Go on without the others: a part of what is left, as if all ``pods`` were alike."""
        for _, _, cap in self._hearsay.caps():
            left_usd = max(0.0, cap.usd_per_day - cap.spent_usd - cap.elsewhere_usd)
            cap.elsewhere_usd += left_usd * (1.0 - 1.0 / pods)
        for _, pacer in self._hearsay.pacers():
            pacer.take_share(1.0 if pods == 1 else self._settings.alone_share / pods, now)

    def _demand(self, provider: ProviderName, fresh: float) -> float:
        """Return this pod's requests of the window, as far as one push and a mean tell."""
        mean = self._means.get(provider, 0.0)
        mean += (fresh - mean) / WINDOW_S
        self._means[provider] = mean
        return mean * WINDOW_S

    def _rest(self, view: View, names: Names, now: float) -> None:
        """Leave accounts alone as their providers asked; long waits need two witnesses."""
        for provider in names.providers:
            pair = view.rests.get(names.account(provider))
            if pair is None:
                continue
            wait_s = max(min(pair[0], self._settings.block_s_max), pair[1])
            until = now + wait_s
            if wait_s > 1.0 and until > self._rests.get(provider, now) + 1.0:
                self._rests[provider] = until
                self._hearsay.blocks(provider, wait_s, now)
