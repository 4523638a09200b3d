"""From bytes and headers to a call."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.domain import Call, CallId, WireFormat
from sidecar.errors import BadRequestError, UnknownModelError
from sidecar.server.intake import Arrival, Intake

if TYPE_CHECKING:
    from sidecar.catalogue import Catalogue

OPENAI, ANTHROPIC = WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES
FORMATS = pytest.mark.parametrize("form", [OPENAI, ANTHROPIC, WireFormat.OPENAI_RESPONSES])
OWN_NAMES = {
    WireFormat.OPENAI_RESPONSES: {"messages": "input", "max_tokens": "max_output_tokens"},
}


def body_of(**members: Any) -> bytes:
    """Return a body that is good for every format but for ``members``."""
    said = [{"role": "user", "content": "hi"}]
    body = {"model": "reason", "max_tokens": 9, "messages": said, "input": said}
    return json.dumps(body | members).encode()


@pytest.fixture
def intake(catalogue: Catalogue) -> Intake:
    """An intake of the usual catalogue."""
    return Intake(lambda: catalogue, random.Random(1))


def read(
    intake: Intake,
    body: bytes,
    headers: dict[str, str] | None = None,
    form: WireFormat = OPENAI,
) -> Call:
    """Read a completion that arrived at 100."""
    arrival = Arrival(id=CallId("call_1"), at=100.0, format=form, headers=headers or {})
    return intake.completion(arrival, body)


def test_ids_are_distinct_and_replayable(catalogue: Catalogue) -> None:
    """Ids have one shape, differ, and follow from the seed."""
    one, other = (Intake(lambda: catalogue, random.Random(5)) for _ in range(2))
    ids = [one.new_id() for _ in range(3)]
    assert ids == [other.new_id() for _ in range(3)]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"call_[0-9a-f]{24}", known) for known in ids)


@FORMATS
def test_a_plain_call(intake: Intake, form: WireFormat) -> None:
    """Route, deadline, budget and the untouched body make a call."""
    body = body_of(unknown_field={"kept": True})
    call = read(intake, body, form=form)
    assert call.body == body
    assert call.route.name == "reason"
    assert call.format is form
    assert (call.arrived_at, call.deadline_at) == (100.0, 160.0)
    assert call.constraints.budget_usd == 0.5
    assert call.facts.model == "reason"


def test_an_alias_leads_to_its_route(intake: Intake) -> None:
    """An alias is resolved, while the facts keep the name that was asked for."""
    call = read(intake, body_of(model="gpt-4o"))
    assert (call.route.name, call.facts.model) == ("reason", "gpt-4o")


@FORMATS
def test_the_sidecar_object_is_read_and_removed(intake: Intake, form: WireFormat) -> None:
    """A provider never sees our constraints."""
    wishes = {"within": "2s", "budget": 0.25, "first_token": "300ms"}
    call = read(intake, body_of(sidecar=wishes), form=form)
    assert b"sidecar" not in call.body
    assert json.loads(call.body) == json.loads(body_of())
    assert call.deadline_at == 102.0
    assert call.constraints.budget_usd == 0.25
    assert call.constraints.first_token_s == 0.3


@pytest.mark.parametrize(
    ("within", "deadline_at"), [("500ms", 100.5), ("2m", 220.0), ("1h", 700.0)]
)
def test_within_replaces_the_routes_limit(intake: Intake, within: str, deadline_at: float) -> None:
    """A caller may be less or more patient than its route, up to ten minutes."""
    call = read(intake, body_of(), {"x-sidecar-within": within})
    assert call.deadline_at == deadline_at


@pytest.mark.parametrize("header", ["x-stainless-read-timeout", "x-stainless-timeout"])
@pytest.mark.parametrize(
    ("patience", "deadline_at"),
    [
        ("5", 104.75),
        ("2.5", 102.375),
        ("600", 160.0),
        ("NOT_GIVEN", 160.0),
        ("0", 160.0),
        ("-1", 160.0),
        ("nan", 160.0),
        ("inf", 160.0),
    ],
)
def test_an_sdks_timeout_bounds_a_plain_call(
    intake: Intake, header: str, patience: str, deadline_at: float
) -> None:
    """A plain call ends before its SDK stops listening; unusable values say nothing."""
    assert read(intake, body_of(), {header: patience}).deadline_at == deadline_at


def test_an_sdks_timeout_does_not_bound_a_stream(intake: Intake) -> None:
    """In a stream the read timeout is about gaps, not about the whole answer."""
    call = read(intake, body_of(stream=True), {"x-stainless-read-timeout": "5"})
    assert call.deadline_at == 160.0


def test_only_versions_and_betas_are_forwarded(intake: Intake) -> None:
    """The caller's credentials and everything else stay here."""
    headers = {
        "authorization": "Bearer callers-own",
        "x-api-key": "callers-own",
        "cookie": "a=b",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "tools",
        "openai-beta": "assistants=v2",
        "user-agent": "curl",
    }
    call = read(intake, body_of(), headers)
    assert call.forward_headers == (
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "tools"),
        ("openai-beta", "assistants=v2"),
    )
    assert "callers-own" not in repr(call)


@FORMATS
@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_a_missing_body(intake: Intake, form: WireFormat, body: bytes) -> None:
    """No body is told apart from malformed JSON."""
    with pytest.raises(BadRequestError, match="no body"):
        read(intake, body, form=form)


@FORMATS
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"model":"reason",}',
        b"hello",
        b"[]",
        b'"text"',
        b"null",
        b'{"sidecar":',
        b'["sidecar"]',
        b'{"model":"reason","messages":[{"role":"user","content":"\xff"}],"max_tokens":1}',
        b'{"model":"rea\xc3son","messages":[]}',
        b"\x00\x01\x02",
    ],
)
def test_what_is_not_a_json_object_is_refused(
    intake: Intake, form: WireFormat, body: bytes
) -> None:
    """Malformed JSON, other JSON and invalid UTF-8 are the caller's mistake."""
    with pytest.raises(BadRequestError) as raised:
        read(intake, body, form=form)
    assert raised.value.message
    assert raised.value.path is not None


@FORMATS
@pytest.mark.parametrize(
    "members",
    [{"model": 3}, {"model": None}, {"messages": 7}, {"stream": "yes"}, {"max_tokens": "many"}],
)
def test_a_field_of_the_wrong_type_is_named(
    intake: Intake, form: WireFormat, members: dict[str, Any]
) -> None:
    """The path of the wrong field is part of the error."""
    own = OWN_NAMES.get(form, {})
    members = {own.get(name, name): value for name, value in members.items()}
    with pytest.raises(BadRequestError) as raised:
        read(intake, body_of(**members), form=form)
    assert raised.value.path == f"$.{next(iter(members))}"


def test_malformed_json_has_its_position(intake: Intake) -> None:
    """The message says at which byte the JSON breaks."""
    with pytest.raises(BadRequestError, match=r"byte \d+|position \d+"):
        read(intake, b'{"model":"reason", oops}')


def test_an_unknown_model_lists_the_known(intake: Intake) -> None:
    """A misspelt model is answered with the names that exist."""
    with pytest.raises(UnknownModelError, match=r"'reasn'.*reason, claude, gpt-4o"):
        read(intake, body_of(model="reasn"))


def test_a_count_needs_no_max_tokens(intake: Intake) -> None:
    """Counting reads the smaller request of its path."""
    arrival = Arrival(id=CallId("call_1"), at=100.0, format=ANTHROPIC, headers={})
    body = b'{"model":"claude","messages":[{"role":"user","content":"hi"}]}'
    call = intake.count(arrival, body)
    assert (call.route.name, call.deadline_at) == ("claude", 220.0)
