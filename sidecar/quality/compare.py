"""Whether one model is as good as another, as far as the evidence goes.

The difference of two beliefs has no closed form; both are sampled, with a seed that is always the
same, so that the same evidence gives the same advice. 4000 draws place the ends of a 95 % interval
to about a fiftieth of its width.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.core.quality import Posterior

SEED = 20_260
DRAWS = 4000
TAIL = 0.025
Z_ONE_SIDED = 1.645
SURE = 0.95
SCORES_MAX = 1_000_000
DISTANCE_LEAST = 0.005


@value
class Difference:
    """Of two qualities: mean and 95 % interval; ``not_worse``: how likely it is that it is not
    worse than by the margin; ``better``: that it is better at all.
    """

    mean: float
    low: float
    high: float
    not_worse: float
    better: float


def difference(one: Posterior, other: Posterior, margin: float) -> Difference:
    """Return by how much ``one`` is better than ``other``; negative: worse."""
    rng = random.Random(SEED)
    draws = sorted(one.sample(rng) - other.sample(rng) for _ in range(DRAWS))
    cut = int(TAIL * DRAWS)
    return Difference(
        mean=one.mean - other.mean,
        low=draws[cut],
        high=draws[-cut - 1],
        not_worse=sum(draw >= -margin for draw in draws) / DRAWS,
        better=sum(draw > 0.0 for draw in draws) / DRAWS,
    )


def scores_needed(one: Posterior, other: Posterior, margin: float) -> tuple[int, int]:
    """Return about how many scores in all of each would settle whether ``one`` is not worse.

    So many that the standard error of the difference clears the margin, should what was seen so far
    be the truth; where nothing is seen of a difference, should there be none. Who has more scores
    than its part leaves the other less to do. Worked example: both about 0.8, margin 0.02:
    1.645^2 * (0.16 + 0.16) / 0.02^2 = 2165 of each.
    """
    gap = one.mean - other.mean
    error = math.sqrt(sum(_variance(each) / max(1.0, each.n) for each in (one, other)))
    is_seen = abs(gap) > Z_ONE_SIDED * error
    distance = max(DISTANCE_LEAST, abs(gap + margin)) if is_seen else margin
    own, first = (Z_ONE_SIDED**2 * _variance(each) / distance**2 for each in (one, other))
    each = own + first
    return _counted(own, first, other.n, each), _counted(first, own, one.n, each)


def _counted(own: float, of_other: float, has_other: float, each: float) -> int:
    """Return the scores of one, given those that the other has; ``own`` are those it would need if
    the other were known exactly.
    """
    wanted = own / (1.0 - of_other / has_other) if has_other > each else each
    return math.ceil(min(SCORES_MAX, wanted))


def _variance(belief: Posterior) -> float:
    return belief.mean * (1.0 - belief.mean)
