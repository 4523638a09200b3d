"""Rows 27 to 31 of the fault catalogue: several providers out, for long, and what pods share."""

from __future__ import annotations

from sidecar.simulate.faults.row import Row, scenario_tests

ROWS_OF_FLEETS = (
    Row(
        number=27,
        fault="A and B down",
        correct="The small model, marked; else a stale answer; else 503 at once with a time.",
        measured="500 from both; C is well. That all are out is row 28.",
        tests=scenario_tests(
            "outages",
            "row_27_everything_down_but_the_smaller_model",
            "row_27_everything_down",
            "row_27_everything_down_but_a_stale_answer_is_kept",
        ),
    ),
    Row(
        number=28,
        fault="A, B, C down, back together",
        correct="Rationed trials, a slow start, no herd; served again within 30 s.",
        measured="500 from all; calls up to a minute after the end count.",
        tests=scenario_tests("outages", "row_28_all_come_back_together"),
    ),
    Row(
        number=29,
        fault="A down for 10 min",
        correct="Few trials in a fleet, probes below five cents, recovery noticed once and shared.",
        measured="One pod of the fleet, 500 for 10 min: pods share nothing in this version.",
        tests=scenario_tests("outages", "row_29_ten_minutes_out"),
    ),
    Row(
        number=30,
        fault="The shared store is down",
        correct="Calls are not delayed; each pod judges by itself; old verdicts expire.",
        measured="Three pods that share the calls and know nothing of each other; A answers 500.",
        tests=scenario_tests("outages", "row_30_nothing_shared"),
    ),
    Row(
        number=31,
        fault="One pod has lost its network",
        correct="That pod says so at once and charges no provider; the others hear nothing of it.",
        measured="One of three pods reaches nobody; its calls fail for the oracle too.",
        tests=scenario_tests(
            "outages", "row_31_own_egress_broken", "row_31_one_host_alone_is_charged"
        ),
    ),
)
