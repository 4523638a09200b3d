"""Classification of failed answers against those that real providers gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain import OutcomeClass
from sidecar.upstream.classify import MESSAGE_CHARS_MAX, classify
from sidecar.upstream.kinds import KINDS

NOW = 1_700_000_000.0
OPENAI = KINDS["openai"]
ANTHROPIC = KINDS["anthropic"]
JSON = {"content-type": "application/json"}

_FILE = Path(__file__).with_name("error_answers.json")
ANSWERS: list[dict[str, Any]] = json.loads(_FILE.read_text(encoding="utf-8"))["entries"]


def openai_error(
    message: str, kind: str = "invalid_request_error", code: str | None = None
) -> bytes:
    """Return an error body of OpenAI's envelope."""
    return json.dumps({"error": {"message": message, "type": kind, "code": code}}).encode()


@pytest.mark.parametrize("answer", ANSWERS, ids=[answer["id"] for answer in ANSWERS])
def test_real_error_answers(answer: dict[str, Any]) -> None:
    """Every real error answer gets its verdict and its pushback."""
    fault = classify(
        KINDS[answer["kind"]], answer["status"], answer["headers"], answer["body"].encode(), NOW
    )
    assert fault.cls.value == answer["cls"]
    assert fault.retry_after_s == answer["retry_after_s"]
    assert fault.status == answer["status"]
    assert 0 < len(fault.message) <= MESSAGE_CHARS_MAX


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (500, b"oops", OutcomeClass.S5),
        (502, b"", OutcomeClass.S5),
        (504, b"upstream request timeout", OutcomeClass.S5),
        (520, b"", OutcomeClass.S5),
        (529, b"", OutcomeClass.OVERLOAD),
        (503, b"", OutcomeClass.S5),
        (503, b"no capacity available", OutcomeClass.OVERLOAD),
        (503, b'{"error":{"message":"Loading model","type":"unavailable_error"}}', OutcomeClass.S5),
        (408, b"", OutcomeClass.S5),
        (402, b"", OutcomeClass.QUOTA),
        (429, b"", OutcomeClass.RATE),
        (401, b"", OutcomeClass.AUTH),
        (403, b"", OutcomeClass.AUTH),
        (404, b'{"detail":"Not Found"}', OutcomeClass.GONE),
        (410, b"", OutcomeClass.GONE),
        (400, b"", OutcomeClass.CALLER),
        (409, b"", OutcomeClass.CALLER),
        (413, b"", OutcomeClass.CALLER),
        (422, b"", OutcomeClass.CALLER),
        (301, b"", OutcomeClass.S5),
        (200, b'{"error":{"message":"?"}}', OutcomeClass.S5),
        (200, b"", OutcomeClass.S5),
    ],
)
def test_status_alone(status: int, body: bytes, expected: OutcomeClass) -> None:
    """Where the body says nothing known, the status decides; an unknown in-stream error is S5."""
    assert classify(OPENAI, status, {}, body, NOW).cls is expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"type":"error","error":{"type":"rate_limit_error","message":"x"}}', OutcomeClass.RATE),
        ('{"type":"error","error":{"type":"api_error","message":"x"}}', OutcomeClass.S5),
        ('{"type":"error","error":{"type":"billing_error","message":"x"}}', OutcomeClass.QUOTA),
        (
            '{"type":"error","error":{"type":"authentication_error","message":"x"}}',
            OutcomeClass.AUTH,
        ),
        ('{"type":"error","error":{"type":"not_found_error","message":"x"}}', OutcomeClass.GONE),
        (
            '{"type":"error","error":{"type":"invalid_request_error","message":"x"}}',
            OutcomeClass.CALLER,
        ),
        ('{"error":{"code":502,"message":"Provider disconnected"}}', OutcomeClass.S5),
        ('{"error":{"code":429,"message":"slow"}}', OutcomeClass.RATE),
        (
            '{"type":"response.failed","response":{"error":{"code":"insufficient_quota"}}}',
            OutcomeClass.QUOTA,
        ),
    ],
)
def test_in_stream_errors(body: str, expected: OutcomeClass) -> None:
    """An error event after a 200 is classified by its type or the status it names."""
    assert classify(ANTHROPIC, 200, JSON, body.encode(), NOW).cls is expected


@pytest.mark.parametrize(
    "message",
    [
        "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
        "Your credit balance is too low to access the API.",
        "You reached your monthly spend limit",
    ],
)
@pytest.mark.parametrize("status", [400, 403, 429])
def test_money_blocks_the_account(status: int, message: str) -> None:
    """A refusal for lack of money is QUOTA under whichever status it comes."""
    assert classify(OPENAI, status, JSON, openai_error(message), NOW).cls is OutcomeClass.QUOTA


def test_quota_that_refills_is_a_rate_limit() -> None:
    """A "quota" with a stated wait of seconds must not block the account for long."""
    body = openai_error("You exceeded your current quota. Please retry in 12s.", "quota")
    fault = classify(OPENAI, 429, JSON, body, NOW)
    assert (fault.cls, fault.retry_after_s) == (OutcomeClass.RATE, 12.0)


def test_too_large_for_the_limit_does_not_block_the_account() -> None:
    """A 429 that waiting never cures is for another endpoint, and states no wait."""
    body = openai_error("Request too large for gpt-4o: Limit 30000, Requested 31538.", "tokens")
    fault = classify(OPENAI, 429, {"retry-after": "60"}, body, NOW)
    assert (fault.cls, fault.retry_after_s) == (OutcomeClass.CONTEXT, None)


def test_within_the_limit_is_a_rate_limit() -> None:
    """A token limit that has room for the request later is RATE."""
    body = openai_error(
        "Limit 30000, Used 29000, Requested 1500. Please try again in 1s.", "tokens"
    )
    assert classify(OPENAI, 429, JSON, body, NOW).cls is OutcomeClass.RATE


def test_overload_as_400() -> None:
    """OpenAI's 400 "servers are currently overloaded" is overload, not a bad request."""
    body = openai_error("Our servers are currently overloaded. Please try again later.")
    assert classify(OPENAI, 400, JSON, body, NOW).cls is OutcomeClass.OVERLOAD


def test_quoted_prompt_is_not_overload() -> None:
    """A 400 that quotes a caller's word must stay a bad request."""
    body = openai_error("Invalid value: 'overloaded'.")
    assert classify(OPENAI, 400, JSON, body, NOW).cls is OutcomeClass.CALLER


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, OutcomeClass.S5),
        (403, OutcomeClass.S5),
        (404, OutcomeClass.S5),
        (503, OutcomeClass.S5),
        (401, OutcomeClass.AUTH),
        (413, OutcomeClass.CALLER),
        (429, OutcomeClass.RATE),
    ],
)
def test_html_is_a_proxy_speaking(status: int, expected: OutcomeClass) -> None:
    """An HTML page disables no model and blames no caller, but a 401, 413 or 429 is for us."""
    body = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>"
    fault = classify(OPENAI, status, {"content-type": "text/html; charset=UTF-8"}, body, NOW)
    assert fault.cls is expected
    assert fault.message == "Just a moment..."


@pytest.mark.parametrize("code", ["content_policy_violation", "moderation"])
def test_policy_refusal_is_not_auth(code: str) -> None:
    """A 403 for the content must not count against the key."""
    assert (
        classify(OPENAI, 403, JSON, openai_error("no", code=code), NOW).cls is OutcomeClass.CALLER
    )


def test_lost_file_does_not_disable_the_model() -> None:
    """A 404 for a file of the caller is not a missing model."""
    body = b'{"type":"error","error":{"type":"not_found_error","message":"File not found: file_1"}}'
    assert classify(ANTHROPIC, 404, JSON, body, NOW).cls is OutcomeClass.CALLER


def test_redirect_is_refused() -> None:
    """A redirect is a fault that says so."""
    fault = classify(OPENAI, 307, {"location": "https://elsewhere.example/"}, b"", NOW)
    assert (fault.cls, fault.message) == (OutcomeClass.S5, "HTTP 307: redirect refused")


def test_retry_after_of_a_success_is_not_honoured() -> None:
    """The head of a 200 says nothing about the error in its stream."""
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    assert classify(ANTHROPIC, 200, {"retry-after": "61"}, body, NOW).retry_after_s is None


def test_retry_after_of_an_error() -> None:
    """A 503 with Retry-After carries it to the engine."""
    assert classify(OPENAI, 503, {"retry-after": "7"}, b"", NOW).retry_after_s == 7.0


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abc123DEF456ghi789",
        "sk-ant-api03-aaaa-bbbb",
        "AIzaSyA1234567890abcdef",
        "AKIAIOSFODNN7EXAMPLE",
        "ABSKQmVkcm9ja0FQSUtleS1h+b/c=",
        "gsk_abcdefghijkl",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    ],
)
@pytest.mark.parametrize("frame", ["bad key {}", "Bearer {}", "x-api-key: {}", "?key={}&x"])
def test_keys_are_masked(secret: str, frame: str) -> None:
    """Nothing that looks like a key reaches a message."""
    fault = classify(OPENAI, 401, JSON, openai_error(frame.format(secret)), NOW)
    assert secret not in fault.message
    assert "***" in fault.message


def test_named_key_is_masked() -> None:
    """What a provider quotes as the key it got is cut, whatever it looks like."""
    body = openai_error("Incorrect API key provided: hunter2. See the docs.")
    assert "hunter2" not in classify(OPENAI, 401, JSON, body, NOW).message


def test_message_is_folded_and_cut() -> None:
    """A message is one line of at most 300 characters."""
    fault = classify(OPENAI, 500, JSON, openai_error("a\n\t b \x00" + "c" * 5000), NOW)
    assert fault.message.startswith("a b ccc")
    assert len(fault.message) == MESSAGE_CHARS_MAX


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    status=st.integers(100, 599),
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=10),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["error", "message", "type", "code", "detail", "msg", "metadata", "raw"]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=10,
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
def test_never_raises(status: int, body: bytes) -> None:
    """Whatever a provider sends, there is a verdict and a bounded message."""
    fault = classify(OPENAI, status, JSON, body, NOW)
    assert 0 < len(fault.message) <= MESSAGE_CHARS_MAX


def test_deep_nesting_is_survived() -> None:
    """A body made to exhaust the stack is just an unknown error."""
    assert classify(OPENAI, 500, JSON, b"[" * 100_000, NOW).cls is OutcomeClass.S5


@pytest.mark.parametrize(
    ("kind", "status", "text", "own", "common"),
    [
        ("mistral", 422, "Extra inputs are not permitted", "UNFIT", "CALLER"),
        ("mistral", 429, "Service tier capacity exceeded for this model.", "OVERLOAD", "RATE"),
        ("openrouter", 429, "m is temporarily rate-limited upstream.", "OVERLOAD", "RATE"),
        (
            "openrouter",
            503,
            "There is no available model provider that meets your routing requirements",
            "GONE",
            "S5",
        ),
        ("together", 429, "the rate limit specific to this model m", "OVERLOAD", "RATE"),
        ("groq", 498, "Flex tier capacity exceeded", "OVERLOAD", "CALLER"),
        ("deepseek", 400, "unknown variant `image_url`, expected `text`", "UNFIT", "CALLER"),
        ("deepseek", 400, "This response_format type is unavailable now", "UNFIT", "CALLER"),
        ("xai", 400, "Incorrect API key provided: xa***.", "AUTH", "CALLER"),
        ("xai", 403, "Your team has used all available credits", "QUOTA", "AUTH"),
        (
            "vllm",
            400,
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser',
            "UNFIT",
            "CALLER",
        ),
        ("llamacpp", 500, "tools param requires --jinja flag", "UNFIT", "S5"),
        ("ollama", 400, "registry.ollama.ai/library/m does not support tools", "UNFIT", "UNFIT"),
    ],
)
def test_a_kinds_own_rules_come_first(
    kind: str, status: int, text: str, own: str, common: str
) -> None:
    """What only one provider means by its words is read at that provider alone."""
    body = json.dumps({"error": {"message": text}}).encode()
    assert classify(KINDS[kind], status, {}, body, NOW).cls.value == own
    assert classify(OPENAI, status, {}, body, NOW).cls.value == common


def test_a_deployment_without_chat_is_gone() -> None:
    """Azure's name for a model that cannot chat is no mistake of a caller's request."""
    body = openai_error(
        "The chatCompletion operation does not work with it", "OperationNotSupported"
    )
    assert classify(KINDS["azure-openai"], 400, {}, body, NOW).cls is OutcomeClass.GONE


BEDROCK = KINDS["bedrock"]


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected"),
    [
        (429, "ThrottlingException", "Too many tokens, please wait.", OutcomeClass.RATE),
        (429, "ModelNotReadyException", "The model is not ready.", OutcomeClass.OVERLOAD),
        (503, "ServiceUnavailableException", "Try your request again.", OutcomeClass.OVERLOAD),
        (424, "ModelStreamErrorException", "An error in the stream.", OutcomeClass.S5),
        (424, "ModelErrorException", "The model failed.", OutcomeClass.S5),
        (408, "ModelTimeoutException", "Too long.", OutcomeClass.S5),
        (500, "InternalServerException", "Oops.", OutcomeClass.S5),
        (400, "ServiceQuotaExceededException", "Over quota.", OutcomeClass.QUOTA),
        (400, "ValidationException", "max_tokens: too large.", OutcomeClass.CALLER),
        (403, "UnrecognizedClientException", "The token is invalid.", OutcomeClass.AUTH),
        (403, "ExpiredTokenException", "The token is expired.", OutcomeClass.AUTH),
        (403, "AccessDeniedException", "Authentication failed.", OutcomeClass.AUTH),
        (
            403,
            "AccessDeniedException",
            "You don't have access to the model with the specified model ID.",
            OutcomeClass.GONE,
        ),
        (404, "ResourceNotFoundException", "No such model.", OutcomeClass.GONE),
    ],
)
def test_aws_names_its_errors_in_three_places(
    status: int, kind: str, message: str, expected: OutcomeClass
) -> None:
    """The name in the header, in the body, and of an exception in a stream say the same."""
    said = json.dumps({"message": message}).encode()
    url = "http://internal.amazon.com/coral/com.amazon.bedrock/"
    fault = classify(BEDROCK, status, {"x-amzn-errortype": f"{kind}:{url}"}, said, NOW)
    assert (fault.cls, fault.error_type) == (expected, kind.lower())
    named = {"__type": f"com.amazon.coral.service#{kind}", "Message": message}
    fault = classify(BEDROCK, status, {}, json.dumps(named).encode(), NOW)
    assert (fault.cls, fault.message) == (expected, message)
    if status not in {403, 404}:
        inside = {"type": kind[0].lower() + kind[1:], "message": message}
        fault = classify(BEDROCK, 200, {}, json.dumps(inside).encode(), NOW)
        assert fault.cls is expected


def test_malformed_output_goes_to_another_model() -> None:
    """A model whose words could not be read failed at this request, no more."""
    body = b'{"type":"malformed_tool_use","message":"m"}'
    assert classify(BEDROCK, 200, {}, body, NOW).cls is OutcomeClass.DEGENERATE


def test_what_an_ollama_model_cannot_do_another_may() -> None:
    """A model without tools is no fault of the caller's."""
    body = b'{"error":"registry.ollama.ai/library/gemma:2b does not support tools"}'
    assert classify(KINDS["ollama"], 400, JSON, body, NOW).cls is OutcomeClass.UNFIT
