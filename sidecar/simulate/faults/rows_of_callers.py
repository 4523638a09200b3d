"""Rows 32 to 51 of the fault catalogue: callers, load, our own trouble, evidence that misleads."""

from __future__ import annotations

from sidecar.simulate.faults.row import Row, process_tests, scenario_tests

ROWS_OF_CALLERS = (
    Row(
        number=32,
        fault="Callers give 1 s to a model of 3 s",
        correct="No breaker moves; refused in time, or answered by a faster model.",
        measured="Half the callers, while A and B need 3 s to the first token.",
        tests=scenario_tests(
            "callers",
            "row_32_hasty_callers_of_a_slow_model",
            "row_32_hasty_callers_get_the_faster_model",
        ),
    ),
    Row(
        number=33,
        fault="Callers leave after 70 s of silence",
        correct="The silence is the provider's failure; what still runs is cut within 50 ms.",
        measured="A hangs; deadlines of 300 s.",
        tests=(
            *scenario_tests(
                "callers",
                "row_33_callers_that_leave_after_a_long_silence",
                "row_33_callers_that_leave_early_blame_nobody",
            ),
            *process_tests("lifecycle", "hang_up"),
        ),
    ),
    Row(
        number=34,
        fault="A caller's every request is wrong",
        correct="The 400 is passed on: no failover, no trip, no cost elsewhere.",
        measured="Half the callers; for them the provider's own 400 at its first word is good.",
        tests=scenario_tests("callers", "row_34_caller_whose_every_request_is_wrong"),
    ),
    Row(
        number=35,
        fault="Twice the load for 30 s",
        correct="Batch calls give way, people are served, nobody waits beyond the deadline.",
        measured=(
            "A alone, 17 requests at once, some ten a second; people call four times a second,"
            " batch jobs three times and in the fault 16 times, with 5 s each. Judged are a quarter"
            " of the people's calls."
        ),
        tests=scenario_tests("overload", "row_35_twice_the_load"),
    ),
    Row(
        number=36,
        fault="A slow, applications repeat at each timeout",
        correct="Attempts stay in bounds; when the cause is gone the storm ends.",
        measured=(
            "A's first token x10 and four requests at once; 2.5 s a try, three tries; a call is"
            " all tries of it, so the application's own repetitions count as requests."
        ),
        tests=scenario_tests("overload", "row_36_retry_storm"),
    ),
    Row(
        number=37,
        fault="A down, B serves half the load",
        correct="B is used and not toppled, C takes the rest.",
        measured="Three pods; B serves two requests at once.",
        tests=scenario_tests(
            "overload",
            "row_37_fallback_of_half_the_size",
            "row_37_callers_of_the_fallbacks_own",
        ),
    ),
    Row(
        number=38,
        fault="A and B: first token x8",
        correct="Hedges help nobody and stay rare; 3 % of the money at most.",
        measured="Route of equals.",
        tests=(
            *scenario_tests("overload", "row_38_everybody_slow"),
            *scenario_tests("hedging", "row_38_hedging_stays_rare_where_everybody_is_slow"),
        ),
    ),
    Row(
        number=39,
        fault="A bills answers that were cut",
        correct="The loser of a hedge is counted at its cost; nothing leaks.",
        measured="A fifth of A's first tokens x8, so that hedges are made.",
        tests=scenario_tests("overload", "row_39_provider_that_bills_what_was_cancelled"),
    ),
    Row(
        number=40,
        fault="Old streams end well during an outage",
        correct="Their success is from before the trip: it closes nothing.",
        measured="Answers of 12 s, not of 120; A answers 500 for 8 s, then hangs.",
        tests=scenario_tests("time", "row_40_streams_from_before_the_trip"),
    ),
    Row(
        number=41,
        fault="Callers leave in the middle of a trial",
        correct="The lease is given back; the next trial is made; never stuck.",
        measured=(
            "A answers 500; no money for probes, so that calls are the trials; one more caller"
            " each second leaves after 0.3 s and is not counted."
        ),
        tests=scenario_tests(
            "callers", "row_41_trial_whose_caller_leaves", "row_41_trial_that_never_ends"
        ),
    ),
    Row(
        number=42,
        fault="The clock jumps by 10 min",
        correct="No mass failure, no probe storm; what was counted before is cold.",
        measured="Calls have an hour; some are under way.",
        tests=scenario_tests(
            "time",
            "row_42_suspended_for_ten_minutes",
            "row_42_calls_in_flight_when_suspended",
            "row_42_wall_clock_steps",
        ),
    ),
    Row(
        number=43,
        fault="Callers read slowly",
        correct="The provider is not read ahead, nor blamed for the time.",
        measured="Every third stream pauses 12 s after each chunk; deadlines of 10 min.",
        tests=(
            *scenario_tests(
                "callers",
                "row_43_caller_that_reads_slowly",
                "row_43_pause_of_the_caller_is_no_stall_of_a_slow_provider",
                "row_43_slow_readers_spoil_no_estimate",
            ),
            *process_tests("lifecycle", "slow_reader"),
        ),
    ),
    Row(
        number=44,
        fault="Our event loop stalls for 2 s",
        correct="Timers that ran over by our own stall are charged to nobody.",
        measured="Every 7 s.",
        tests=scenario_tests(
            "time", "row_44_event_loop_that_stalls", "row_44_real_hang_beside_small_stalls"
        ),
    ),
    Row(
        number=45,
        fault="SIGTERM with 50 open streams",
        correct="None is cut within the grace; after it each ends in an error event.",
        measured="50 streams of 12 s, SIGTERM 5 s later, the default grace; no calls after it.",
        tests=(
            *scenario_tests("time", "row_45_drain_with_fifty_streams"),
            *process_tests("lifecycle", "sigterm_lets_streams_finish", "sigterm_ends_long_streams"),
        ),
    ),
    Row(
        number=46,
        fault="The sidecar restarts in an outage",
        correct="Calls are refused for as long as it takes; no burst of probes.",
        measured=(
            "A answers 500; after 40 s the sidecar is gone for 2 s, with all calls under way, and"
            " knows nothing then. The oracle's callers meet the same 2 s."
        ),
        tests=scenario_tests(
            "outages", "row_46_start_without_knowledge", "row_46_start_into_an_outage"
        ),
    ),
    Row(
        number=47,
        fault="B answers 400 to all: its API drifted",
        correct="B is ejected with an alert, and gets its calls back when it is well.",
        measured="Four applications whose first choice is B.",
        tests=scenario_tests(
            "evidence",
            "row_47_provider_whose_contract_drifted",
            "row_47_drift_that_is_over",
            "row_47_applications_whose_requests_are_wrong",
        ),
    ),
    Row(
        number=48,
        fault="C is cheap and well, A and B return",
        correct="Traffic goes back to A; it does not stay for the price.",
        measured="A and B answer 500, as in row 27; four minutes of return.",
        tests=scenario_tests(
            "outages",
            "row_48_traffic_returns_from_the_cheap_model",
            "row_48_an_equal_that_recovered_is_not_shunned",
        ),
    ),
    Row(
        number=49,
        fault="Probes well, completions dead",
        correct="Live calls outrank probes; a free probe closes no breaker.",
        measured="A refuses for 15 s, then answers 500 while its model list is well.",
        tests=scenario_tests(
            "evidence",
            "row_49_free_probe_closes_no_breaker",
            "row_49_failing_probe_against_live_answers",
        ),
    ),
    Row(
        number=50,
        fault="5 % errors everywhere, heavy tail",
        correct="One false trip a day at most; probes within their budget.",
        measured=(
            "Route of equals; four hours a seed, not 24, so that the table is made within minutes;"
            " the test plays a day."
        ),
        tests=scenario_tests("evidence", "row_50_day_of_noise"),
    ),
    Row(
        number=51,
        fault="A down, B fails half, no C",
        correct="Answered as often as three tries are; who is down altogether is left alone.",
        measured="500 from A, 500 at random from B; the oracle asks each once.",
        tests=scenario_tests(
            "half_alive",
            "row_51_half_alive_is_asked_until_it_answers",
            "row_51_dead_is_left_alone",
            "row_51_death_is_believed",
        ),
    ),
)
