"""Rows 1 to 18 of the fault catalogue: a provider that cannot be reached, refuses, or is slow."""

from __future__ import annotations

from sidecar.simulate.faults.row import Row, process_tests, scenario_tests

ROWS_OF_PROVIDERS = (
    Row(
        number=1,
        fault="A refuses connections",
        correct="Failover at once; host and endpoint rest; every model of the host is spared.",
        measured="A refuses for the whole fault.",
        tests=(
            *scenario_tests(
                "connect_faults",
                "refused_connections_cost_callers_nothing",
                "refused_connections_gate_every_model_of_the_host",
            ),
            *process_tests("faults", "refused"),
        ),
    ),
    Row(
        number=2,
        fault="Connecting to A never completes",
        correct="3 s to connect, then failover; after the trip nobody waits for it again.",
        measured="SYN blackhole for the whole fault.",
        tests=(
            *scenario_tests("connect_faults", "blackhole_is_waited_for_once_not_by_everybody"),
            *process_tests("faults", "blackhole"),
            *process_tests("sockets", "blackhole_hangs_and_is_left"),
            *process_tests("stopped", "stopped_provider"),
        ),
    ),
    Row(
        number=3,
        fault="A's name does not resolve",
        correct="A failed connect; connections that live on are used.",
        measured="No connection to A is kept while it lasts, so that each needs the name.",
        tests=(
            *scenario_tests(
                "connect_faults",
                "dns_failure_leaves_kept_connections_working",
                "new_connections_that_fail_are_a_connect_fault",
            ),
            *process_tests("sockets", "name_that_does_not_exist"),
        ),
    ),
    Row(
        number=4,
        fault="TLS with A fails",
        correct="A failed connect; free probes while it lasts, no money for paid ones.",
        measured="As 3.",
        tests=(
            *scenario_tests("connect_faults", "new_connections_that_fail_are_a_connect_fault"),
            *process_tests("sockets", "certificate"),
            "tests/upstream/test_http_faults.py::test_tls_against_a_plain_port",
        ),
    ),
    Row(
        number=5,
        fault="A answers 500 to all",
        correct="A trips, traffic goes to B; one trial at most in an open period.",
        measured="500 for the whole fault.",
        tests=(
            *scenario_tests("http_errors", "errors_to_everybody_cost_callers_nothing"),
            *process_tests("faults", "status_500"),
        ),
    ),
    Row(
        number=6,
        fault="A answers 503, Retry-After 40",
        correct="Open for 40 s and more; no trial before.",
        measured="503 for the whole fault.",
        tests=scenario_tests("http_errors", "retry_after_of_an_unavailable_provider_is_kept"),
    ),
    Row(
        number=7,
        fault="A is overloaded (529) for 20 %",
        correct="Fewer calls at once, traffic moves, no second ask of A in a call; nothing opens.",
        measured="Route of equals.",
        tests=scenario_tests("http_errors", "partial_overload_moves_traffic_and_opens_nothing"),
    ),
    Row(
        number=8,
        fault="A answers 429, Retry-After 12",
        correct="The account rests 12 s with all its models; no breaker moves; A looks no faster.",
        measured="429 for the whole fault.",
        tests=scenario_tests(
            "throttling",
            "rate_limit_rests_the_account_for_as_long_as_it_says",
            "rate_limit_does_not_make_an_endpoint_look_fast",
            "real_minute_limit_is_respected",
        ),
    ),
    Row(
        number=9,
        fault="A answers 429 to large prompts only",
        correct="Large prompts go elsewhere, small ones may use A; nobody starves.",
        measured="Three calls in ten have a prompt above the limit; Retry-After 2.",
        tests=scenario_tests(
            "throttling", "token_limit_starves_neither_large_prompts_nor_small_ones"
        ),
    ),
    Row(
        number=10,
        fault="A answers 429, spend limit reached",
        correct="One refusal blocks the account; no retry, no probe.",
        measured="429 with that code and no Retry-After for the whole fault.",
        tests=scenario_tests("http_errors", "spent_account_is_asked_once"),
    ),
    Row(
        number=11,
        fault="A answers 401: the key was rotated",
        correct="Two refusals block the account; the new key lifts it within 5 s.",
        measured="401 for the whole fault; at its end the new key is there.",
        tests=scenario_tests(
            "http_errors",
            "refused_key_blocks_after_two_and_a_new_key_heals_within_five_seconds",
        ),
    ),
    Row(
        number=12,
        fault="A answers 402",
        correct="As 10.",
        measured="402 for the whole fault.",
        tests=scenario_tests("http_errors", "spent_account_is_asked_once"),
    ),
    Row(
        number=13,
        fault="A accepts and never answers",
        correct="Calls that wait are evidence before they end; failover within the deadline.",
        measured="For the whole fault.",
        tests=(
            *scenario_tests(
                "silence",
                "silence_is_an_outage_before_the_calls_end",
                "silent_host_is_tried_without_waste",
                "silence_of_the_only_endpoint_ends_at_the_deadline",
                "silence_from_the_start_leaves_room_for_the_next_endpoint",
            ),
            *process_tests("faults", "hang"),
            *process_tests("stopped", "stopped_provider"),
        ),
    ),
    Row(
        number=14,
        fault="A sends heads and pings, no content",
        correct="Pings are no content: not committed, failover in time.",
        measured="For the whole fault.",
        tests=scenario_tests(
            "silence",
            "silence_is_an_outage_before_the_calls_end",
            "silence_shows_among_equals_within_the_first_calls",
        ),
    ),
    Row(
        number=15,
        fault="A's first token x5",
        correct="Seen within three samples, traffic moves; nothing opens; hedges within 5 %.",
        measured="Route of equals.",
        tests=scenario_tests(
            "slowness",
            "brown_out_moves_traffic_and_opens_nothing",
            "sluggish_endpoint_is_softly_ejected",
        ),
    ),
    Row(
        number=16,
        fault="A's tokens x10 slower",
        correct="New answers go to B; running ones go on while they can meet their deadline.",
        measured="Route of equals.",
        tests=scenario_tests(
            "slowness",
            "slow_drip_sends_new_answers_elsewhere_and_keeps_running_ones",
            "stalled_stream_breaks_off_with_an_error",
        ),
    ),
    Row(
        number=17,
        fault="A fails 30 % of calls",
        correct="No caller sees it; most traffic moves within a minute; 1.3 requests a call.",
        measured="Route of equals, 500 at random.",
        tests=scenario_tests(
            "partial",
            "third_of_calls_failing_is_routed_around",
            "chain_fails_over_each_time_within_its_amplification",
        ),
    ),
    Row(
        number=18,
        fault="A 5 s down, 5 s up",
        correct="Longer rests each time, few state changes, traffic mostly on B.",
        measured="500 in the bad halves.",
        tests=scenario_tests(
            "partial",
            "flapping_endpoint_is_left_alone_for_longer_each_time",
            "endpoint_that_deceives_its_probes_rests_longer_each_time",
        ),
    ),
)
