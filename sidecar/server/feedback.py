"""`POST /v1/feedback`: what a caller says of an answer it had, now or days later.

    {"call_id": "call_…", "score": 0.8}    {"call_id": "call_…", "label": "bad", "comment": "…"}

The call's id is the header ``x-sidecar-call-id`` of its answer (``call_id`` in the plain form). A
comment may hold a prompt: it is checked, and let go here unless the configuration keeps comments.
Feedback is read and bounded before anything is asked of anybody: it comes from programs, and a loop
that sends it must not slow down calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import msgspec

from sidecar import clock
from sidecar.errors import BadRequestError, NotFoundError, ShedError
from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.server.exchange import Exchange

BODY_BYTES_MAX = 32 * 1024
COMMENT_CHARS_MAX = 4000
ID_CHARS_MAX = 200
PER_S_MAX, BURST_MAX = 200.0, 2000.0
"""Scores taken: a fiftieth of a core when somebody sends them without end."""
LOOKING_MAX = 64
"""Scores whose calls are looked for in the ledger's file at one time."""
LABELS = {"good": 1.0, "bad": 0.0}


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    call_id: Annotated[str, msgspec.Meta(min_length=1, max_length=ID_CHARS_MAX)]
    score: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    label: Literal["good", "bad"] | None = None
    comment: Annotated[str, msgspec.Meta(max_length=COMMENT_CHARS_MAX)] | None = None


_BODY = msgspec.json.Decoder(_Body)


@value
class Mark:
    """One score (0..1) of one call."""

    call_id: str
    score: float
    comment: str | None = None


class Heard(Protocol):
    """What became of it: the call's route and endpoint; counted for it, in place of another?"""

    @property
    def route(self) -> str:
        """Return the route of the call."""

    @property
    def endpoint(self) -> str | None:
        """Return who answered it, None if nobody did."""

    @property
    def is_counted(self) -> bool:
        """Return whether the score says something of a model."""

    @property
    def is_replacing(self) -> bool:
        """Return whether the call had one before."""


class Scores(Protocol):
    """Where scores go."""

    async def take(self, call_id: str, score: float, *, comment: str | None) -> Heard | None:
        """Count a score of a call; None: no such call is known."""


class FeedbackDesk:
    """Takes feedback and hands it on. Owns how much was taken lately, and how much is under way."""

    def __init__(self, scores: Scores) -> None:
        self._scores = scores
        self._room = BURST_MAX
        self._at = 0.0
        self._looking = 0

    async def handle(self, exchange: Exchange) -> bytes:
        """Return the answer's body.

        Raises:
            BadRequestError: the body is not what it must be; says where.
            NotFoundError: no call of that id is known.
            ShedError: too much feedback comes at once.
        """
        mark = read_mark(await exchange.read_body(BODY_BYTES_MAX))
        self._admit()
        self._looking += 1
        try:
            marked = await self._scores.take(mark.call_id, mark.score, comment=mark.comment)
        finally:
            self._looking -= 1
        if marked is None:
            raise NotFoundError(
                f"no call {mark.call_id[:ID_CHARS_MAX]!r} is known here: take the id of"
                " x-sidecar-call-id, from this sidecar, once its answer has ended; calls are"
                " forgotten after a while (ledger: memory_calls, keep_days)"
            )
        return msgspec.json.encode(
            {
                "call_id": mark.call_id,
                "route": marked.route,
                "model": marked.endpoint,
                "score": mark.score,
                "counted": marked.is_counted,
                "replaced": marked.is_replacing,
            }
        )

    def _admit(self) -> None:
        now = clock.now()
        self._room = min(BURST_MAX, self._room + max(0.0, now - self._at) * PER_S_MAX)
        self._at = now
        if self._room < 1.0 or self._looking >= LOOKING_MAX:
            message = f"too much feedback at once; at most {PER_S_MAX:g} a second are taken"
            raise ShedError(message, retry_after_s=1.0)
        self._room -= 1.0


def read_mark(body: bytes) -> Mark:
    """Return what a body says.

    Raises:
        BadRequestError: it is not what it must be; says where.
    """
    try:
        said = _BODY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        example = '{"call_id": "call_…", "score": 0.8}'
        raise BadRequestError(f"not feedback: {error}; expected {example}") from None
    if (said.score is None) == (said.label is None):
        what = "both" if said.score is not None else "none"
        raise BadRequestError(f'expected "score" (0 to 1) or "label" (good or bad), got {what}')
    score = said.score if said.score is not None else LABELS[said.label or ""]
    return Mark(call_id=said.call_id, score=score, comment=said.comment)
