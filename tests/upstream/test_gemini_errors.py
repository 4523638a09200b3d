"""What Google's errors mean: recorded ones, quoted ones, and those of its documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.domain import OutcomeClass
from sidecar.upstream.classify import classify
from sidecar.upstream.kinds import KINDS

NOW = 1_700_000_000.0
GEMINI = KINDS["gemini"]
_FILE = Path(__file__).with_name("error_answers.json")
RECORDED: list[dict[str, Any]] = [
    answer
    for answer in json.loads(_FILE.read_text(encoding="utf-8"))["entries"]
    if answer["id"].startswith(("gemini-", "vertex-"))
]


def google_error(code: int, status: str, message: str, *details: dict[str, object]) -> bytes:
    """Return an error body of Google's."""
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return json.dumps({"error": error}).encode()


def info(reason: str) -> dict[str, object]:
    """Return the detail that names a reason."""
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}


@pytest.mark.parametrize("answer", RECORDED, ids=[answer["id"] for answer in RECORDED])
def test_recorded_answers(answer: dict[str, Any]) -> None:
    """Google's own errors mean the same as they do behind a server that imitates another format."""
    body = answer["body"].encode()
    fault = classify(GEMINI, answer["status"], answer["headers"], body, NOW)
    assert fault.cls.value == answer["cls"]
    assert fault.retry_after_s == answer["retry_after_s"]


def test_recorded_answers_are_there() -> None:
    """The test above runs on something, a stated wait included."""
    assert len(RECORDED) >= 5
    assert any(answer["retry_after_s"] for answer in RECORDED)


BAD_KEY = "API key not valid. Please pass a valid API key."
PRECONDITION = "FAILED_PRECONDITION"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            google_error(400, "INVALID_ARGUMENT", BAD_KEY, info("API_KEY_INVALID")),
            OutcomeClass.AUTH,
        ),
        (google_error(400, "INVALID_ARGUMENT", "?", info("API_KEY_INVALID")), OutcomeClass.AUTH),
        (
            google_error(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key."),
            OutcomeClass.AUTH,
        ),
        (
            google_error(400, PRECONDITION, "User location is not supported for the API use."),
            OutcomeClass.AUTH,
        ),
        (
            google_error(
                400, PRECONDITION, "The free tier is not available. Please enable billing"
            ),
            OutcomeClass.QUOTA,
        ),
        (google_error(400, "INVALID_ARGUMENT", "Invalid value at contents"), OutcomeClass.CALLER),
        (google_error(401, "UNAUTHENTICATED", "Request had invalid creds"), OutcomeClass.AUTH),
        (google_error(403, "PERMISSION_DENIED", "Method is blocked"), OutcomeClass.AUTH),
        (
            google_error(403, "PERMISSION_DENIED", "requires billing", info("BILLING_DISABLED")),
            OutcomeClass.QUOTA,
        ),
        (
            google_error(
                403,
                "PERMISSION_DENIED",
                "You do not have permission to access the File abc or it may not exist.",
            ),
            OutcomeClass.CALLER,
        ),
        (
            google_error(
                403, "PERMISSION_DENIED", "CachedContent not found (or permission denied)"
            ),
            OutcomeClass.CALLER,
        ),
        (
            google_error(404, "NOT_FOUND", "models/gemini-1 is not found for API version v1beta"),
            OutcomeClass.GONE,
        ),
        (google_error(429, "RESOURCE_EXHAUSTED", "Resource exhausted"), OutcomeClass.RATE),
        (
            google_error(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."),
            OutcomeClass.QUOTA,
        ),
        (google_error(499, "CANCELLED", "The operation was cancelled."), OutcomeClass.S5),
        (google_error(500, "INTERNAL", "An internal error has occurred."), OutcomeClass.S5),
        (google_error(503, "UNAVAILABLE", "The model is overloaded."), OutcomeClass.OVERLOAD),
        (google_error(504, "DEADLINE_EXCEEDED", "Deadline expired"), OutcomeClass.S5),
    ],
    ids=lambda value: value.value if isinstance(value, OutcomeClass) else None,
)
@pytest.mark.parametrize("is_in_stream", [False, True], ids=["answer", "in stream"])
def test_statuses(body: bytes, expected: OutcomeClass, *, is_in_stream: bool) -> None:
    """Each of Google's statuses has its class, as an answer and as an event inside a 200."""
    status = 200 if is_in_stream else json.loads(body)["error"]["code"]
    assert classify(GEMINI, status, {}, body, NOW).cls is expected


def test_an_array_around_it() -> None:
    """A stream that was asked for as an array has its error in one."""
    body = b"[" + google_error(429, "RESOURCE_EXHAUSTED", "slow") + b"]"
    assert classify(GEMINI, 429, {}, body, NOW).cls is OutcomeClass.RATE


@pytest.mark.parametrize(("delay", "expected"), [("48.9s", 48.9), ("0.5s", 0.5), ("900s", 300.0)])
def test_the_stated_wait(delay: str, expected: float) -> None:
    """``RetryInfo`` says when to come back, and a quota that refills is a rate limit."""
    retry: dict[str, object] = {
        "@type": "type.googleapis.com/google.rpc.RetryInfo",
        "retryDelay": delay,
    }
    body = google_error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", retry)
    fault = classify(GEMINI, 429, {}, body, NOW)
    assert (fault.cls, fault.retry_after_s) == (OutcomeClass.RATE, expected)


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"])
def test_a_broken_answer(reason: str) -> None:
    """An answer that Google itself calls malformed is the model's fault: another may manage."""
    body = json.dumps({"error": {"message": "?", "status": reason}}).encode()
    assert classify(GEMINI, 200, {}, body, NOW).cls is OutcomeClass.DEGENERATE
