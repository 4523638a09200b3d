"""How a feature fares between a caller's and a provider's format: computed, not declared.

Exact: the caller's bytes go on, and the provider's come back. Translated: everything that was meant
arrives. Dropped: what does not arrive is named to the caller. None: such a call goes elsewhere.
``LostError`` is what must never be: something is lost, and nobody is told.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from sidecar.errors import WireError
from sidecar.wire.formats import CODECS, PROVIDER_CODECS
from sidecar.wire.neutral import Ended, OutputFormat, Sampling
from tests.wire.pairs.fixtures import FIXTURES
from tests.wire.pairs.meaning import gathered, of_answer, of_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.domain import WireFormat
    from sidecar.wire.codec import ProviderCodec
    from sidecar.wire.neutral import Completion, Conversation
    from tests.wire.pairs.meaning import Meaning


class Fate(Enum):
    """What becomes of a feature."""

    EXACT = "exact"
    TRANSLATED = "translated"
    DROPPED = "dropped"
    INELIGIBLE = "ineligible"
    UNSPEAKABLE = "unspeakable"
    """The caller's format (or, for an answer, the provider's) has no words for it."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """``dropped`` are the names that the caller reads in ``x-sidecar-dropped``."""

    fate: Fate
    dropped: tuple[str, ...] = ()


class LostError(AssertionError):
    """Something got lost in silence."""


NAMED_AS: dict[str, tuple[str, ...]] = {
    "images": ("image",),
    "calls": ("tool_calls",),
    "results": ("tool_result",),
    "tools": ("tools", "tool_choice"),  # where none can be forced, only the one is offered
    "tool_choice": ("tool",),
    "output": ("response_format", "format"),
    "thinking": ("reasoning", "thinking"),
}
"""An aspect's names in ``dropped``, where they are not its own."""


def ask_verdict(caller: WireFormat, provider: WireFormat, feature: str, *, stream: bool) -> Verdict:
    """Return what becomes of a request.

    Raises:
        LostError: something of it is neither in the provider's request nor named.
    """
    body = FIXTURES[caller].asks.get(feature)
    if body is None:
        return Verdict(fate=Fate.UNSPEAKABLE)
    source, target = CODECS[caller], PROVIDER_CODECS[provider]
    if caller is provider:
        sent = source.rewrite_request(body, model="other")
        if sent.replace(b'"other"', b'"m"') != body:
            raise LostError(f"the bytes changed: {sent!r}")
        return Verdict(fate=Fate.EXACT)
    if source.inspect_request(body).untranslatable:
        return Verdict(fate=Fate.INELIGIBLE)
    return _translated(source.parse_request(body), target, stream=stream)


def _translated(asked: Conversation, target: ProviderCodec, *, stream: bool) -> Verdict:
    """Return what becomes of ``asked`` in another format."""
    try:
        rendered = target.render_request(
            asked, model="m", is_stream=stream, max_tokens_field="max_tokens"
        )
    except WireError:
        return Verdict(fate=Fate.INELIGIBLE)
    lost = _unsaid(target, asked, stream=stream)
    if target.format in CODECS:
        heard = CODECS[target.format].parse_request(rendered.body)
        lost |= _misread(of_request(asked), of_request(heard))
    for aspect in sorted(lost):
        if not _is_named(aspect, rendered.dropped):
            raise LostError(f"{aspect} is lost; named are {rendered.dropped}")
    fate = Fate.DROPPED if rendered.dropped else Fate.TRANSLATED
    return Verdict(fate=fate, dropped=rendered.dropped)


def _misread(asked: Meaning, heard: Meaning) -> set[str]:
    return {aspect for aspect, value in asked.items() if heard[aspect] != value}


def _is_named(aspect: str, dropped: tuple[str, ...]) -> bool:
    return any(word in name for name in dropped for word in NAMED_AS.get(aspect, (aspect,)))


# --- a look at the provider's request that knows nothing of its format ---------------------------


def _unsaid(target: ProviderCodec, asked: Conversation, *, stream: bool) -> set[str]:
    """Return the aspects of which nothing is found in the provider's request.

    Words, names and values must occur somewhere in its JSON; what is but a number or a switch must
    make the request another one than without it.
    """

    def body(conversation: Conversation) -> bytes:
        return target.render_request(
            conversation, model="m", is_stream=stream, max_tokens_field="max_tokens"
        ).body

    sent = body(asked)
    said = "\n".join(str(leaf) for leaf in _leaves(json.loads(sent)))
    meaning = of_request(asked)
    meaning["images"] = [data for _, data in meaning["images"]]  # the type is in the data
    words = ("system", "texts", "calls", "results", "images", "tools", "stop")
    lost = {
        aspect
        for aspect in words
        for leaf in _leaves(json.loads(json.dumps(meaning[aspect], default=_word)))
        if isinstance(leaf, str) and leaf not in said
    }
    for aspect, without in _without(asked):
        if body(without) == sent:
            lost.add(aspect)
    return lost


def _without(asked: Conversation) -> Iterator[tuple[str, Conversation]]:
    """Yield each switch that is set, and the request without it."""
    for aspect in Sampling.__dataclass_fields__:
        if getattr(asked.sampling, aspect) is not None:
            sampling = replace(asked.sampling, **{aspect: None})
            yield aspect, replace(asked, sampling=sampling)
    if asked.tool_choice is not None:
        yield "tool_choice", replace(asked, tool_choice=None)
    if asked.output != OutputFormat():
        yield "output", replace(asked, output=OutputFormat())
    if asked.max_tokens is not None:
        yield "max_tokens", replace(asked, max_tokens=asked.max_tokens + 1)
    if asked.reasoning_effort or asked.reasoning_tokens:
        yield "thinking", replace(asked, reasoning_effort=None, reasoning_tokens=None)


def _word(value: object) -> str:
    return ""


def _leaves(value: object) -> Iterator[object]:
    """Yield every scalar and every name in a JSON value, those of JSON within texts included."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


# --- answers -------------------------------------------------------------------------------------


def answer_verdict(
    caller: WireFormat, provider: WireFormat, feature: str, *, stream: bool
) -> Verdict:
    """Return what becomes of an answer.

    Raises:
        LostError: the caller hears something else than the provider said.
    """
    said = provider_says(provider, feature, stream=stream)
    if said is None:
        return Verdict(fate=Fate.UNSPEAKABLE)
    if caller is provider:
        return Verdict(fate=Fate.EXACT)
    heard = _heard_stream(caller, provider, feature) if stream else _heard(caller, said)
    lost = _misread(of_answer(said), of_answer(heard))
    if lost:
        raise LostError(f"{sorted(lost)}: {of_answer(said)} is heard as {of_answer(heard)}")
    return Verdict(fate=Fate.TRANSLATED)


def provider_says(provider: WireFormat, feature: str, *, stream: bool) -> Completion | None:
    """Return the provider's answer as it is understood, None if its format has none such."""
    fixture, codec = FIXTURES[provider], PROVIDER_CODECS[provider]
    said = (fixture.streams if stream else fixture.answers).get(feature)
    if said is None:
        return None
    if not stream:
        return codec.parse_response(said)
    framer, parser = codec.framer(), codec.stream_parser()
    events = [*framer.feed(said), *framer.end()]
    whole = gathered(delta for event in events for delta in parser.feed(event))
    assert parser.is_complete(), "the stream is not whole"
    return whole


def _heard(caller: WireFormat, said: Completion) -> Completion:
    codec = CODECS[caller]
    return codec.parse_response(codec.render_response(said))


def _heard_stream(caller: WireFormat, provider: WireFormat, feature: str) -> Completion:
    """Return what a caller's own parser makes of the rendered stream, fed byte by byte."""
    source, codec = PROVIDER_CODECS[provider], CODECS[caller]
    framer, parser = source.framer(), source.stream_parser()
    renderer = codec.stream_renderer(wants_usage=True)
    events = [*framer.feed(FIXTURES[provider].streams[feature]), *framer.end()]
    sent = b"".join(
        renderer.render(delta)
        for event in events
        for delta in parser.feed(event)
        if not isinstance(delta, Ended)
    )
    sent += renderer.finish()
    theirs, reader = codec.framer(), codec.stream_parser()
    pieces = [sent[at : at + 1] for at in range(len(sent))]
    heard = [event for one in pieces for event in theirs.feed(one)] + theirs.end()
    whole = gathered(delta for event in heard for delta in reader.feed(event))
    if not reader.is_complete():
        raise LostError("the caller would take the stream for cut off")
    return whole
