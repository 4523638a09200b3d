"""What a call that nobody can serve as it is would have to ask for: the nearest feasible values.

First what one change alone would do: more time, more money or a lesser model, with all else as
asked. Where no single change is enough, the changes that the nearest endpoint needs together. Each
value is the least of its kind that some endpoint meets, rounded to the caller's side, so that who
asks again with it is served: the time is what four of five such calls take there in an ordinary
hour.
"""

from __future__ import annotations

from math import ceil, floor, log, log10
from typing import TYPE_CHECKING

from sidecar.clock import now as loop_now
from sidecar.core.eligibility import is_too_slow
from sidecar.engine.fitness import class_floor
from sidecar.errors import InfeasibleError
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.core.routing import EndpointView
    from sidecar.domain import Call
    from sidecar.engine.choosing import Chooser

IN_TIME_SHARE = 0.8

Change = dict[str, float]


@value
class Feasible:
    """The nearest feasible changes to ``call``, each of which would do; ``reason``: why there are
    none.
    """

    call: Call
    options: tuple[Change, ...] = ()
    reason: str = "can meet the constraints"

    def error(self) -> InfeasibleError:
        """Return the error that names them, in words and, under ``feasible``, for programs."""
        start = f"no endpoint of {self.call.route.name!r}"
        if not self.options:
            return InfeasibleError(f"{start} {self.reason}")
        asked = _asked(self.call)
        said = " or ".join(
            " and ".join(_said(name, wanted, asked[name]) for name, wanted in option.items())
            for option in self.options
        )
        message = f"{start} can meet the constraints; it needs {said}"
        feasible = [
            {name: _shown(name, one) for name, one in option.items()} for option in self.options
        ]
        shown = {name: _shown(name, one) for name, one in asked.items()}
        return InfeasibleError(message, details={"asked": shown, "feasible": feasible})


def nearest(
    call: Call, chooser: Chooser, views: Sequence[EndpointView], fit: Sequence[EndpointView]
) -> Feasible:
    """Return what would be feasible at one of ``fit``: those of ``views`` who can serve it."""
    name = call.route.name
    floor_ = class_floor(call.route, {view.endpoint.id: view.endpoint for view in views})
    able = [view for view in fit if view.endpoint.quality.of(name) >= floor_]
    if not able:
        best = max(view.endpoint.quality.of(name) for view in fit)
        reason = f"that can serve this call has a quality of at least {floor_:g}; the best has"
        return Feasible(call=call, reason=f"{reason} {best:g}")
    if call.constraints.budget_usd is not None:
        able = [view for view in able if view.cost_usd is not None]
        if not able:
            reason = "can keep a budget: none of its models has a known price"
            return Feasible(call=call, reason=reason)
    changes = [change for view in able if (change := _change(call, chooser, view))]
    alone: list[Change] = []
    for constraint in ("within", "budget", "quality"):
        wanted = [one[constraint] for one in changes if one.keys() == {constraint}]
        if wanted:
            alone.append({constraint: max(wanted) if constraint == "quality" else min(wanted)})
    if alone or not changes:
        return Feasible(call=call, options=tuple(alone))
    closest = min(changes, key=lambda change: _distance(change, _asked(call)))
    return Feasible(call=call, options=(closest,))


def _change(call: Call, chooser: Chooser, view: EndpointView) -> Change:
    """Return what ``call`` would have to ask for so that this endpoint could serve it."""
    change: Change = {}
    wishes = call.constraints
    if is_too_slow(view, call.deadline_at - loop_now(), chooser.routing):
        asked_s = call.deadline_at - call.arrived_at
        change["within"] = _above(max(asked_s, chooser.needs_s(view, IN_TIME_SHARE)))
    if wishes.budget_usd is not None and (view.cost_usd or 0.0) > wishes.budget_usd:
        change["budget"] = _above(view.cost_usd or 0.0)
    quality = view.endpoint.quality.of(call.route.name)
    if wishes.is_quality_hard and wishes.quality is not None and quality < wishes.quality:
        change["quality"] = quality
    return change


def _asked(call: Call) -> Change:
    """Return what the call asked for, its route's defaults included."""
    wishes = call.constraints
    asked: Change = {"within": call.deadline_at - call.arrived_at}
    if wishes.budget_usd is not None:
        asked["budget"] = wishes.budget_usd
    if wishes.is_quality_hard and wishes.quality is not None:
        asked["quality"] = wishes.quality
    return asked


def _distance(change: Change, asked: Change) -> float:
    """Return how far it is from what was asked, in factors of each constraint."""
    least = 1e-9
    return sum(
        abs(log(max(least, wanted) / max(least, asked[name]))) for name, wanted in change.items()
    )


def _above(amount: float) -> float:
    """Return ``amount`` rounded up to two digits: 3.14 becomes 3.2."""
    if amount <= 0.0:
        return amount
    unit = 10.0 ** (floor(log10(amount)) - 1)
    # Multiples of a decimal unit are not exact: 0.0042 must not become 0.004200000000000001.
    return float(f"{ceil(round(amount / unit, 6)) * unit:.6g}")


def _said(name: str, wanted: float, asked: float) -> str:
    if name == "within":
        return f"within at least {wanted:.3g}s (asked: {asked:.3g}s)"
    if name == "budget":
        return f"a budget of at least {_usd(wanted)} (asked: {_usd(asked)})"
    return f"a quality of at most {wanted:g} (asked: {asked:g})"


def _shown(name: str, amount: float) -> str | float:
    """Return a value as the constraint of that name takes it."""
    return f"{amount:.3g}s" if name == "within" else amount


def _usd(amount: float) -> str:
    """Return an amount as people write it: 0.0025 USD, never 2.5e-03."""
    return f"{amount:.8f}".rstrip("0").rstrip(".") + " USD"
