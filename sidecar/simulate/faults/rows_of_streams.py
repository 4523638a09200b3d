"""Rows 19 to 26 of the fault catalogue: an answer that begins and is not what it should be."""

from __future__ import annotations

from sidecar.simulate.faults.row import Row, process_tests, scenario_tests

ROWS_OF_STREAMS = (
    Row(
        number=19,
        fault="A resets after 10 tokens",
        correct="A typed error ends the stream, no terminal mark; or, asked for, another goes on.",
        measured="Default: the error. Plain answers break too, unseen.",
        tests=(
            *scenario_tests(
                "streams",
                "broken_stream_ends_with_a_typed_error",
                "broken_stream_is_billed_as_far_as_it_went",
                "broken_plain_answer_fails_over",
                "stream_that_breaks_before_its_content_fails_over",
                "breaking_endpoint_is_left",
            ),
            *scenario_tests("on_break", "another_model_goes_on"),
            *process_tests("faults", "cut_stream"),
            *process_tests("sockets", "reset_before_the_first_word", "reset_after_ten_words"),
        ),
    ),
    Row(
        number=20,
        fault="A ends after 10 tokens without a marker",
        correct="A failure, never a success.",
        measured="As 19.",
        tests=scenario_tests(
            "streams",
            "broken_stream_ends_with_a_typed_error",
            "broken_plain_answer_fails_over",
            "stream_that_breaks_before_its_content_fails_over",
            "breaking_endpoint_is_left",
        ),
    ),
    Row(
        number=21,
        fault="A: error event in a 200, before content",
        correct="Failover that nobody sees.",
        measured="Streams alone.",
        tests=scenario_tests("answers", "row_21_error_event_before_content"),
    ),
    Row(
        number=22,
        fault="A: error event after a tool call began",
        correct="A typed error, never a continuation.",
        measured="Streams alone, each of which calls a tool.",
        tests=scenario_tests("answers", "row_22_error_after_the_start_of_a_tool_call"),
    ),
    Row(
        number=23,
        fault="A's stream cut at every byte, CRLF",
        correct="The same words; no failure.",
        measured="Streams alone.",
        tests=(
            *scenario_tests("answers", "row_23_stream_split_at_every_byte"),
            *process_tests("faults", "sliced_stream"),
            "tests/wire/test_every_split.py::test_byte_by_byte",
        ),
    ),
    Row(
        number=24,
        fault="A sends malformed JSON",
        correct="Before content failover, after it an error; either is a failure of A.",
        measured="Half of it before the first content, half after 10 tokens.",
        tests=scenario_tests(
            "answers",
            "row_24_malformed_json_before_the_commit",
            "row_24_malformed_json_after_the_commit",
            "row_24_malformed_json_opens_the_breaker",
        ),
    ),
    Row(
        number=25,
        fault="A answers nothing, or slashes",
        correct="Half a failure; failover while nothing was shown.",
        measured="Half empty, half `////`; such an answer is not good, whoever passes it on.",
        tests=scenario_tests(
            "answers",
            "row_25_answer_of_nothing",
            "row_25_empty_stream",
            "row_25_degenerate_stream",
            "row_25_degenerate_answers_count_half",
        ),
    ),
    Row(
        number=26,
        fault="A's kept connections die on use",
        correct="One free repetition that nobody sees; no breaker moves.",
        measured="Each kept connection is reset by its next request, for the whole fault.",
        tests=(
            *scenario_tests("answers", "row_26_storm_of_stale_connections"),
            *process_tests("faults", "stale_connections"),
            *process_tests("sockets", "idle_connections_that_end"),
        ),
    ),
)
