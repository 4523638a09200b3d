"""The neutral conversation form between wire formats.

A request of one format becomes a ``Conversation`` and is rendered in another; an answer becomes a
``Completion``, a stream a sequence of ``Delta``. Same format in and out never passes through here:
its bytes are forwarded (``rewrite_request``) and merely watched (``StreamParser``). Requests for
vectors have a form of their own, in ``vectors.py``.

What a format cannot express is named when rendering (``Rendered.dropped``), so that nothing is lost
in silence. JSON that only passes through (tool schemas, tool arguments) stays bytes or text, never
a decoded tree.
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from sidecar.value import value

if TYPE_CHECKING:
    from sidecar.domain import Usage
    from sidecar.wire.vectors import Vector

# --- requests ----------------------------------------------------------------------------------


class Role(Enum):
    """Who speaks in a turn; tool results belong to the user's side."""

    USER = "user"
    ASSISTANT = "assistant"


@value
class TextPart:
    """Plain text."""

    text: str


@value
class ImagePart:
    """An image: either ``data`` (base64) with its media type, or a ``url``."""

    media_type: str | None = None
    data: str | None = None
    url: str | None = None


@value
class ToolCallPart:
    """The assistant calls a tool; ``arguments`` is JSON text of an object."""

    id: str
    name: str
    arguments: str


@value
class ToolResultPart:
    """What a tool answered; ``content`` is text and images."""

    call_id: str
    content: tuple[TextPart | ImagePart, ...]
    is_error: bool = False


@value
class ReasoningPart:
    """Thinking text with the provider's signature, or an opaque ``redacted`` block."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


@value
class RefusalPart:
    """The assistant declined, in words."""

    text: str


Part = TextPart | ImagePart | ToolCallPart | ToolResultPart | ReasoningPart | RefusalPart


@value
class Turn:
    """One message: neighbours of the same role may be merged by a renderer that must alternate."""

    role: Role
    parts: tuple[Part, ...]


@value
class Tool:
    """A function the model may call; ``schema`` is raw JSON of its parameters."""

    name: str
    description: str | None = None
    schema: bytes = b"{}"
    is_strict: bool | None = None


class ToolChoiceMode(Enum):
    """How free the model is to call tools."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    NAMED = "named"


@value
class ToolChoice:
    """``name`` is set for NAMED alone. ``is_parallel`` None: the provider's default."""

    mode: ToolChoiceMode = ToolChoiceMode.AUTO
    name: str | None = None
    is_parallel: bool | None = None


class OutputMode(Enum):
    """Shape of the answer's text."""

    TEXT = "text"
    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"


@value
class OutputFormat:
    """``schema`` is raw JSON, for JSON_SCHEMA alone."""

    mode: OutputMode = OutputMode.TEXT
    name: str | None = None
    schema: bytes | None = None
    is_strict: bool | None = None


@value
class Sampling:
    """Sampling parameters, None where the caller says nothing."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None


@value
class Conversation:
    """A whole request in neutral form.

    ``system`` joins every system and developer message, in order. ``reasoning_effort`` is low,
    medium or high; ``reasoning_tokens`` a thinking budget; at most one is set by a caller.
    ``dropped`` names request fields that the neutral form could not hold.
    """

    system: tuple[str, ...]
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    output: OutputFormat = field(default_factory=OutputFormat)
    reasoning_effort: str | None = None
    reasoning_tokens: int | None = None
    user_id: str | None = None
    dropped: tuple[str, ...] = ()


@value
class Rendered:
    """A request body in some format, and the caller's wishes it could not carry."""

    body: bytes
    dropped: tuple[str, ...] = ()


# --- answers -----------------------------------------------------------------------------------


class Finish(Enum):
    """Why a complete answer ended."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    PAUSE = "pause"
    OTHER = "other"


AnswerPart = TextPart | ToolCallPart | ReasoningPart | RefusalPart


@value
class Completion:
    """A whole answer, in words or in vectors. ``finish`` None: the provider did not say that it is
    complete (never a success).

    ``item_ids`` are the names under which a provider may keep its parts, for later requests.
    """

    id: str
    model: str
    parts: tuple[AnswerPart, ...]
    finish: Finish | None
    stop_sequence: str | None = None
    usage: Usage | None = None
    created: int | None = None
    item_ids: tuple[str, ...] = ()
    vectors: tuple[Vector, ...] = ()


# --- streams -----------------------------------------------------------------------------------


@value
class Started:
    """The provider named the answer; not content yet."""

    id: str
    model: str
    created: int | None = None
    usage: Usage | None = None


class TextDelta(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """More text. A struct, since there is one a chunk."""

    text: str


@value
class RefusalDelta:
    """More of a refusal."""

    text: str


@value
class ReasoningDelta:
    """More thinking; a ``signature`` closes the block, ``redacted`` is a whole opaque block."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


@value
class ToolCallStart:
    """A tool call begins; ``index`` counts tool calls of this answer from 0."""

    index: int
    id: str
    name: str


@value
class ToolCallDelta:
    """More argument text of tool call ``index``."""

    index: int
    arguments: str


@value
class Finished:
    """The provider gave a finish reason; the terminal marker may still have to come. ``item_ids``
    as in ``Completion``.
    """

    finish: Finish
    stop_sequence: str | None = None
    item_ids: tuple[str, ...] = ()


@value
class UsageSeen:
    """Final or running usage; the last one counts."""

    usage: Usage


@value
class ErrorSeen:
    """The provider sent an error inside the stream; ``data`` is its JSON, for classification."""

    message: str
    error_type: str | None
    data: bytes


@value
class Ended:
    """The format's terminal marker (``[DONE]``, ``message_stop``)."""


Delta = (
    Started
    | TextDelta
    | RefusalDelta
    | ReasoningDelta
    | ToolCallStart
    | ToolCallDelta
    | Finished
    | UsageSeen
    | ErrorSeen
    | Ended
)

CONTENT_DELTAS = (TextDelta, RefusalDelta, ReasoningDelta, ToolCallStart, ToolCallDelta)
"""The deltas that count as first content; an empty text delta is never emitted."""
