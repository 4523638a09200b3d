"""How a row of the catalogue is staged: a scenario of the study, and what it has no words for.

Callers with habits of their own, load that is not judged, and things that happen to the sidecar or
to an account rather than in a provider's answers.
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING

from sidecar.domain import Priority
from sidecar.engine.settings import EngineSettings
from sidecar.simulate.world import QUESTION
from sidecar.value import value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.domain import Route
    from sidecar.simulate.incidents import Scenario


@value
class Caller:
    """How a call is made, and for how long.

    ``within_s`` and ``route`` None: the scenario's. ``leaves_after_s``: it hangs up when it has no
    whole answer by then. ``tries``: a program that repeats what failed, at once. ``pause_s`` is
    taken before each further chunk of a stream. ``is_wrong``: its request is malformed, so that a
    400 is the right answer. ``share`` of the calls, relative to the other callers'.
    """

    share: float = 1.0
    within_s: float | None = None
    route: str | None = None
    priority: Priority = Priority.INTERACTIVE
    leaves_after_s: float | None = None
    tries: int = 1
    pause_s: float = 0.0
    question: str = QUESTION
    extra: Mapping[str, object] = field(default_factory=dict)
    is_wrong: bool = False


USUAL = (Caller(),)


@value
class Crowd:
    """Load beside the calls that are judged, in calls a second, outside and during the fault."""

    caller: Caller
    rate_per_s: float
    fault_rate_per_s: float


class ActKind(Enum):
    """What happens beside the providers' faults."""

    KEEP_NONE = "keep none"  # connections to the sick provider are cut when they are idle
    KEEP_AGAIN = "keep again"
    NEW_KEY = "new key"  # the sick provider's key file is rewritten
    BILL_CUT = "bill cut"  # the sick provider bills whole answers though they were cut
    SUSPEND = "suspend"  # the machine stands still; callers too
    STALL = "stall"  # our loop stands still; callers come all the same
    LOSE_NETWORK = "lose network"  # the last pod reaches nobody
    HAVE_NETWORK = "have network"
    KILL = "kill"  # the first pod is gone with its calls
    START = "start"  # a new one stands in its place
    TERMINATE = "terminate"  # SIGTERM to every pod


@value
class Act:
    """``at_s`` counts from the start of the fault, or with ``is_after`` from its end.

    ``seconds``: how long everything stands still.
    """

    kind: ActKind
    at_s: float = 0.0
    is_after: bool = False
    seconds: float = 0.0


@value
class Staging:
    """How row ``number`` is played.

    ``before`` call outside the fault, ``callers`` during it. ``burst``: streams that begin together
    with the fault and are judged. ``no_detection`` and ``no_recovery`` say why these times have no
    meaning here.
    """

    number: int
    scenario: Scenario
    before: tuple[Caller, ...] = USUAL
    callers: tuple[Caller, ...] = USUAL
    crowds: tuple[Crowd, ...] = ()
    burst: int = 0
    acts: tuple[Act, ...] = ()
    settings: EngineSettings = field(default_factory=EngineSettings)
    routes: tuple[Route, ...] | None = None
    no_detection: str | None = None
    no_recovery: str | None = None

    def caller_of(self, luck: float, *, is_during: bool) -> Caller:
        """Return the caller that ``luck``, 0..1, falls upon."""
        callers = self.callers if is_during else self.before
        left = luck * sum(one.share for one in callers)
        for caller in callers:
            left -= caller.share
            if left < 0.0:
                return caller
        return callers[-1]
