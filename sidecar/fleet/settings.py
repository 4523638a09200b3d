"""Numbers of a pod's part in a fleet."""

from __future__ import annotations

from sidecar.value import value


@value
class FleetSettings:
    """Numbers of a pod's part in a fleet; none of them is on a call's way.

    * ``sync_s`` 1, 20 % jitter: a push and the view in one trip. ``hurry_s`` 0.25: with a failure
      to tell it goes at once, but no sooner after the last.
    * ``op_s`` 0.25, ``connect_s`` 1: deadlines; a store in the same cluster answers in 1 ms.
    * ``errors_max`` 3 in a row pause the exchange for ``pause_s`` 5, doubling to ``pause_s_max``
      60, so that a store that struggles is not asked by all its pods.
    * ``pods_min`` 3 (2 in a fleet of 2) and ``pods_share`` 0.3 of those who report must see an
      outage: one pod, or the pods of one node, are no quorum.
    * ``outcomes_min`` 5, ``fail_min`` 4, ``fail_share`` 0.5 of the newest outcomes are bad, as for
      a breaker of one's own; ``span_s`` 2 of traffic, at least ``span_min`` 10 outcomes.
    * ``own_ok_min`` 3 successes of one's own since an outage began overrule what others say.
    * ``trust_s_max`` 300: no record may shut anything for longer from now on.
    * ``lease_s`` 20: a trial's hang budget with some room; ``suspect_lease_s`` 2 and
      ``idle_lease_s`` 60 as often as one pod alone would look.
    * ``block_s_max`` 60: a longer pushback needs the word of a second pod.
    * ``spread_pods_per_s`` 100: so many pods a second come back, or ask for a trial;
      ``spread_s_max`` 10.
    * ``reliance`` 0.05 outcomes a second is what the fleet's add to one's own reliability.
    * ``forget_s`` 600: so long the number of pods is believed after the store was lost.
      ``alone_share`` 0.8 of an account's limits are then divided by it.
    """

    sync_s: float = 1.0
    jitter: float = 0.2
    hurry_s: float = 0.25
    op_s: float = 0.25
    connect_s: float = 1.0
    errors_max: int = 3
    pause_s: float = 5.0
    pause_s_max: float = 60.0
    pods_min: int = 3
    pods_share: float = 0.3
    outcomes_min: int = 5
    fail_min: float = 4.0
    fail_share: float = 0.5
    span_s: float = 2.0
    span_min: int = 10
    own_ok_min: int = 3
    trust_s_max: float = 300.0
    lease_s: float = 20.0
    suspect_lease_s: float = 2.0
    idle_lease_s: float = 60.0
    block_s_max: float = 60.0
    spread_pods_per_s: float = 100.0
    spread_s_max: float = 10.0
    reliance: float = 0.05
    forget_s: float = 600.0
    alone_share: float = 0.8


DEFAULTS = FleetSettings()
