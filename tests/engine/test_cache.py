"""What the stale cache keeps, and for how long, by its bounds."""

from __future__ import annotations

import json

import pytest

from sidecar.domain import (
    Call,
    CallId,
    Constraints,
    EndpointId,
    RequestFacts,
    Route,
    RouteName,
    Rung,
    WireFormat,
)
from sidecar.engine.cache import CacheSettings, StaleCache
from sidecar.wire.neutral import Completion, Finish, ReasoningPart, RefusalPart, TextPart

ROUTE = Route(
    name=RouteName("r"),
    tiers=((EndpointId("a/m"),),),
    rungs=(Rung.STALE,),
    stale_s_max=100.0,
)


def call(question: str, *, route: Route = ROUTE, may_use_cache: bool = True) -> Call:
    """Return a call that asks ``question``."""
    body = {"model": "r", "messages": [{"role": "user", "content": question}]}
    return Call(
        id=CallId("call_1"),
        arrived_at=0.0,
        deadline_at=30.0,
        format=WireFormat.OPENAI_CHAT,
        route=route,
        body=json.dumps(body).encode(),
        facts=RequestFacts(model="r", is_stream=False, prompt_tokens=3),
        constraints=Constraints(may_use_cache=may_use_cache),
    )


def answer(text: str, finish: Finish | None = Finish.STOP) -> Completion:
    """Return a whole answer of ``text``."""
    return Completion(id="1", model="m", parts=(TextPart(text=text),), finish=finish)


def kept(cache: StaleCache, *questions: str, now: float = 0.0) -> list[bool]:
    """Return which of ``questions`` have an answer."""
    return [cache.find(call(question), now) is not None for question in questions]


def test_an_answer_is_found_again_until_it_is_too_old() -> None:
    """The same request finds the same answer, to the last second that the route allows."""
    cache = StaleCache(CacheSettings())
    cache.store(call("q"), answer("a"), 10.0)
    assert cache.find(call("q"), 110.0) == answer("a")
    assert cache.find(call("other"), 10.0) is None
    assert cache.find(call("q"), 110.5) is None
    assert cache.find(call("q"), 10.0) is None, "what was too old once is gone"


def test_a_newer_answer_replaces_the_old_one() -> None:
    """The last answer is the one that is kept, and its age counts from then."""
    cache = StaleCache(CacheSettings())
    cache.store(call("q"), answer("old"), 0.0)
    cache.store(call("q"), answer("new"), 90.0)
    assert cache.find(call("q"), 150.0) == answer("new")


@pytest.mark.parametrize("finish", [None, Finish.LENGTH, Finish.TOOL_CALLS])
def test_only_whole_answers_are_kept(finish: Finish | None) -> None:
    """What was cut, or asked for a tool, is no answer to give twice."""
    cache = StaleCache(CacheSettings())
    cache.store(call("q"), answer("a", finish), 0.0)
    assert kept(cache, "q") == [False]


def test_the_oldest_use_goes_first() -> None:
    """A full cache forgets whoever was not asked for the longest."""
    cache = StaleCache(CacheSettings(entries_max=2))
    cache.store(call("1"), answer("a"), 0.0)
    cache.store(call("2"), answer("b"), 1.0)
    assert kept(cache, "1") == [True]
    cache.store(call("3"), answer("c"), 2.0)
    assert kept(cache, "1", "2", "3") == [True, False, True]


def test_bytes_are_bounded_by_answer_and_altogether() -> None:
    """An answer too large is not kept, and many smaller ones push out the oldest."""
    cache = StaleCache(CacheSettings(answer_bytes_max=10, bytes_max=25))
    cache.store(call("large"), answer("x" * 11), 0.0)
    assert kept(cache, "large") == [False]
    for question in ("1", "2", "3"):
        cache.store(call(question), answer("x" * 10), 0.0)
    assert kept(cache, "1", "2", "3") == [False, True, True]
    cache.store(call("2"), answer("x"), 0.0)
    cache.store(call("4"), answer("x" * 10), 0.0)
    assert kept(cache, "2", "3", "4") == [True, True, True], "a replaced answer frees its bytes"


def test_letters_of_many_bytes_count_as_many() -> None:
    """Bounds are of bytes, as the settings say: other scripts need more of them."""
    cache = StaleCache(CacheSettings(answer_bytes_max=10))
    cache.store(call("q"), answer("日本語日本"), 0.0)
    assert kept(cache, "q") == [False]


def test_only_the_text_is_kept() -> None:
    """Old thoughts mean nothing, and a refusal is no answer worth giving twice."""
    cache = StaleCache(CacheSettings())
    thoughtful = Completion(
        id="1",
        model="m",
        parts=(ReasoningPart(text="hm" * 1000), TextPart(text="a")),
        finish=Finish.STOP,
    )
    cache.store(call("q"), thoughtful, 0.0)
    assert cache.find(call("q"), 0.0) == answer("a")
    refused = Completion(id="1", model="m", parts=(RefusalPart(text="no"),), finish=Finish.STOP)
    cache.store(call("r"), refused, 0.0)
    assert kept(cache, "r") == [False]


def test_routes_and_callers_may_forbid_it() -> None:
    """Nothing is kept for a route without the step, nor for a caller that says so."""
    cache = StaleCache(CacheSettings())
    without = Route(name=RouteName("r"), tiers=ROUTE.tiers)
    cache.store(call("q", route=without), answer("a"), 0.0)
    cache.store(call("q", may_use_cache=False), answer("a"), 0.0)
    assert kept(cache, "q") == [False]
    cache.store(call("q"), answer("a"), 0.0)
    assert cache.find(call("q", may_use_cache=False), 0.0) is None
