"""What a whole answer is worth, and how it is said to its caller; words and vectors alike.

Vectors are data: nobody would notice a bad one before a search finds nothing. So an answer has as
many as were asked for, none empty, all of one size and of finite numbers, or it is no answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.domain import Fault, OutcomeClass, WireFormat
from sidecar.wire.formats import EMBEDDING_CODECS, codec, provider_codec
from sidecar.wire.neutral import Finish
from sidecar.wire.vectors import is_finite

if TYPE_CHECKING:
    from sidecar.domain import Call
    from sidecar.engine.prepare import PreparedBody
    from sidecar.engine.tally import Tally
    from sidecar.wire.neutral import Completion

FINE = Fault(cls=OutcomeClass.OK, message="ok")
"""The verdict on nearly all answers."""


def read_answer(request: PreparedBody, body: bytes) -> Completion:
    """Return the answer in ``body`` to ``request``.

    Raises:
        WireError: it is none.
    """
    if request.format in EMBEDDING_CODECS:
        return EMBEDDING_CODECS[request.format].parse_response(body, request=request.body)
    return provider_codec(request.format).parse_response(body)


def flaw_of(
    completion: Completion, tally: Tally, call: Call, *, is_empty_answer_fine: bool
) -> str | None:
    """Return why a complete answer is of no use, None if it is."""
    if call.facts.inputs_count:
        return flaw_of_vectors(completion, call.facts.inputs_count)
    if tally.content_deltas == 0 and is_broken_silence(
        completion.finish, is_empty_answer_fine=is_empty_answer_fine
    ):
        return "an answer without content"
    return "one character over and over" if tally.is_degenerate() else None


def is_broken_silence(finish: Finish | None, *, is_empty_answer_fine: bool) -> bool:
    """Return whether an answer without content is a fault.

    A model may have nothing to add after a tool's result, and a length limit, filter or refusal may
    leave nothing; but a plain stop without a word in answer to a question is a broken model.
    """
    return finish is Finish.STOP and not is_empty_answer_fine


def flaw_of_vectors(completion: Completion, inputs_count: int) -> str | None:
    """Return what is wrong with the vectors for ``inputs_count`` inputs, None if nothing is."""
    if len(completion.vectors) != inputs_count:
        return f"{len(completion.vectors)} vectors for {inputs_count} inputs"
    known = [one.numbers for one in completion.vectors if one.numbers is not None]
    if len({len(numbers) for numbers in known}) > 1:
        return "vectors of different sizes"
    if not all(known):
        return "an empty vector"
    return None if all(map(is_finite, known)) else "a vector with numbers that are not finite"


def said_to_caller(call: Call, completion: Completion) -> bytes:
    """Return a whole answer in the caller's format.

    Raises:
        WireError: the format has no words for it.
    """
    own = EMBEDDING_CODECS.get(call.format)
    if own is not None:
        return own.render_response(completion, own.parse_request(call.body))
    return codec(call.format).render_response(completion)


def is_as_asked(call: Call, completion: Completion) -> bool:
    """Return whether an answer of the caller's own format is in the encoding it asked for.

    An SDK that asked for base64 reads numbers as rubbish, and some servers know numbers only.
    """
    if call.format is not WireFormat.OPENAI_EMBEDDINGS:
        return True
    is_foreign = "encoding_format" in call.facts.untranslatable
    if is_foreign:
        return True
    asked = EMBEDDING_CODECS[call.format].parse_request(call.body)
    return all(
        one.is_packed is asked.is_packed or one.numbers is None for one in completion.vectors
    )
