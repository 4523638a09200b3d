"""Requests in a provider's dialect of their format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.upstream.kinds import KINDS
from sidecar.wire.dialect import in_dialect

if TYPE_CHECKING:
    from sidecar.abilities import Dialect

MISTRAL = KINDS["mistral"].dialect


def test_mistral_gets_its_own_words() -> None:
    """Names and words become the provider's, what it refuses is left out and named if it was
    missed.
    """
    body = (
        b'{"model": "m", "seed": 1.50, "max_completion_tokens": 8,  "tool_choice":"required",'
        b' "stream_options": {"include_usage": true}, "store": false, "user": "u", "x" : [1.0]}'
    )
    said, lost = in_dialect(body, MISTRAL)
    assert said == (
        b'{"model": "m", "tool_choice":"any", "x" : [1.0],"max_tokens":8,"random_seed":1.50}'
    )
    assert lost == ("user",)


def test_a_member_under_both_names_keeps_the_providers() -> None:
    """What the caller wrote for this very provider counts."""
    said, lost = in_dialect(b'{"max_tokens":5,"max_completion_tokens":9}', MISTRAL)
    assert (said, lost) == (b'{"max_tokens":5}', ())


def test_a_named_tool_choice_is_no_word() -> None:
    """Only the format's very string is another one there."""
    body = b'{"tool_choice":{"type":"function","function":{"name":"required"}}}'
    assert in_dialect(body, MISTRAL) == (body, ())


@pytest.mark.parametrize("name", ["openai", "anthropic", "azure-openai", "vllm", "xai"])
def test_most_kinds_have_none(name: str) -> None:
    """Who speaks the format as it is gets it as it is."""
    body = b'{"seed":1,"user":"u","max_completion_tokens":2}'
    assert in_dialect(body, KINDS[name].dialect) == (body, ())


NAMES = ["model", "seed", "random_seed", "user", "store", "max_tokens", "max_completion_tokens"]
VALUES: st.SearchStrategy[object] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.just({})
)


@given(
    st.dictionaries(st.sampled_from(NAMES), VALUES),
    st.sampled_from([kind.dialect for kind in KINDS.values()]),
)
def test_nothing_is_lost_in_silence(members: dict[str, object], dialect: Dialect) -> None:
    """Every member is still there, under its or the provider's name, or was left out by the table;
    one that asked for something and has no other name is told. Saying it twice changes nothing.
    """
    said, lost = in_dialect(json.dumps(members).encode(), dialect)
    got = json.loads(said)
    renamed = dict(dialect.renames)
    own_names = {*renamed.values()}
    assert not {*renamed, *dialect.leaves_out} & got.keys()
    for name, value in members.items():
        own = renamed.get(name, name)
        if name in dialect.leaves_out:
            is_missed = value not in (None, False, {})
            assert (name in lost) is is_missed
        elif value is not None and not (name in renamed and own in members):
            assert own in got
            assert own in own_names or got[own] == value
    assert in_dialect(said, dialect) == (said, ())
