"""A call that is only asked about is read as a real one."""

from __future__ import annotations

import random

import pytest

from sidecar.catalogue import Catalogue
from sidecar.domain import EndpointId, Priority, Route, RouteName, WireFormat
from sidecar.errors import BadRequestError, UnknownModelError
from sidecar.server.explain_asked import PROMPT_TOKENS, call_asked
from sidecar.server.intake import Intake

ROUTE = Route(name=RouteName("reason"), tiers=((EndpointId("a/m"),),), within_s=60.0)


@pytest.fixture
def intake() -> Intake:
    """Return an intake that knows one route."""
    catalogue = Catalogue(endpoints={}, routes={"reason": ROUTE})
    return Intake(lambda: catalogue, random.Random(1))


def test_only_the_route_is_needed(intake: Intake) -> None:
    """Everything else has the defaults of a small call."""
    call = call_asked("route=reason", intake, 100.0)
    assert (call.route, call.arrived_at, call.deadline_at) == (ROUTE, 100.0, 160.0)
    assert call.facts.prompt_tokens == PROMPT_TOKENS
    assert (call.facts.is_stream, call.facts.has_tools, call.facts.has_images) == (False,) * 3
    assert call.format is WireFormat.OPENAI_CHAT


def test_everything_said_arrives(intake: Intake) -> None:
    """Constraints as in headers, the body's facts as parameters."""
    query = (
        "route=reason&within=2s&first_token=300ms&budget=0.01&quality=0.8!&priority=batch"
        "&prompt_tokens=9000&max_tokens=50&stream=true&tools=&images=1&format=anthropic-messages"
    )
    call = call_asked(query, intake, 100.0)
    wishes, facts = call.constraints, call.facts
    assert call.deadline_at == 102.0
    assert (wishes.first_token_s, wishes.budget_usd) == (0.3, 0.01)
    assert (wishes.quality, wishes.is_quality_hard) == (0.8, True)
    assert wishes.priority is Priority.BATCH
    assert (facts.prompt_tokens, facts.max_tokens) == (9000, 50)
    assert facts.is_stream
    assert facts.has_tools
    assert facts.has_images
    assert call.format is WireFormat.ANTHROPIC_MESSAGES


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "route: expected"),
        ("within=2s", "route: expected"),
        ("route=reason&within=2", "within"),
        ("route=reason&budget=lots", "budget"),
        ("route=reason&quality=7", "quality"),
        ("route=reason&colour=red", "no parameter 'colour'"),
        ("route=reason&route=reason", "given twice"),
        ("route=reason&prompt_tokens=0", "prompt_tokens: expected 1"),
        ("route=reason&prompt_tokens=99999999999", "prompt_tokens: expected 1"),
        ("route=reason&max_tokens=x", "max_tokens: expected 1"),
        ("route=reason&stream=maybe", "stream: expected true or false"),
        ("route=reason&format=soap", "format: expected openai-chat or"),
        ("&".join(["a=1"] * 99), "too many parameters"),
    ],
)
def test_what_cannot_be_read_is_told(intake: Intake, query: str, said: str) -> None:
    """The parameter is named, and what is expected."""
    with pytest.raises(BadRequestError) as refused:
        call_asked(query, intake, 0.0)
    assert said in refused.value.message


def test_an_unknown_route_lists_what_there_is(intake: Intake) -> None:
    """As for a caller."""
    with pytest.raises(UnknownModelError, match="this sidecar knows: reason"):
        call_asked("route=raisin", intake, 0.0)
