"""What a simulated model says: the same words every time, tagged with the provider's name.

``alpha:0 alpha:1 …`` tells a test whose bytes it holds; every fifth word carries non-ASCII
letters so that cuts inside UTF-8 are exercised. Offered tools are called when the request forces
it or its last text says "use a tool" ("two tools": two calls at once), with arguments made from
their JSON schema; a tool result is answered in words.

Shared by the dialects (``simulated_openai``, ``simulated_anthropic``), which turn requests into
an ``Ask`` and a ``Reply`` into bytes. Written apart from ``sidecar.wire`` on purpose: a mistake
there must not be mirrored here.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import Protocol

import msgspec

from sidecar.upstream.simulated_schema import plausible
from sidecar.value import value

CHARS_PER_TOKEN = 4  # the common rule of thumb for English
TOKENS_PER_MESSAGE = 4  # role and separators
TOKENS_PER_IMAGE = 765  # a 1024 x 1024 image in high detail at OpenAI
SERVER_ERROR = 500
ARGUMENT_CHUNK_CHARS = 6  # tool arguments stream in fragments about this long


class Finish(Enum):
    """Why the model stopped."""

    STOP = "stop"
    LENGTH = "length"
    STOP_SEQUENCE = "stop_sequence"
    TOOL_CALL = "tool_call"


@value
class OfferedTool:
    """A tool of the request; ``schema`` is the decoded JSON schema of its parameters."""

    name: str
    schema: object


@value
class VectorsAsked:
    """Embeddings asked for, one a text. ``is_rubbish``: the numbers shall be none."""

    texts: tuple[str, ...]
    dimensions: int
    is_packed: bool = False
    is_rubbish: bool = False


@value
class Ask:
    """What the provider understood. ``must_call`` forces a tool, ``named_tool`` a certain one.

    ``json_schema`` None: free text; otherwise the answer is JSON of that schema (``True``: any
    object).
    """

    model: str
    is_stream: bool
    prompt_tokens: int
    last_text: str
    max_tokens: int | None = None
    answers_tool: bool = False
    tools: tuple[OfferedTool, ...] = ()
    must_call: bool = False
    named_tool: str | None = None
    stop: tuple[str, ...] = ()
    json_schema: object = None
    wants_usage: bool = False
    vectors: VectorsAsked | None = None


@value
class SaidCall:
    """A tool call; ``arguments`` is JSON text."""

    id: str
    name: str
    arguments: str

    def fragments(self) -> tuple[str, ...]:
        """Return the arguments as they are streamed, one token each."""
        size = ARGUMENT_CHUNK_CHARS
        return tuple(self.arguments[i : i + size] for i in range(0, len(self.arguments), size))


@value
class Reply:
    """A complete answer. ``pieces`` are its text tokens; ``created_at_s`` is on the wall clock.

    ``cached_tokens`` are part of the prompt's, ``reasoning_tokens`` come on top of what is said.
    """

    id: str
    model: str
    created_at_s: int
    prompt_tokens: int
    pieces: tuple[str, ...]
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    calls: tuple[SaidCall, ...] = ()
    finish: Finish = Finish.STOP
    stop_sequence: str | None = None
    vectors: VectorsAsked | None = None

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)

    @property
    def output_tokens(self) -> int:
        """Tokens billed: one a piece, one a fragment of arguments, and what was thought."""
        said = len(self.pieces) + sum(len(call.fragments()) for call in self.calls)
        return said + self.reasoning_tokens


@value
class ErrorAnswer:
    """An error before it has a shape. None: what the format's provider says for that status."""

    status: int
    type: str | None = None
    code: str | None = None
    message: str | None = None

    @property
    def family(self) -> int:
        """400 or 500: where a table knows no more of the status than whose fault it is."""
        return SERVER_ERROR if self.status >= SERVER_ERROR else 400


@value
class StreamParts:
    """A stream in three parts; each element of ``content`` is (bytes, tokens in them)."""

    opening: bytes
    content: tuple[tuple[bytes, int], ...]
    closing: bytes


@value
class RateState:
    """A requests-per-minute limit as its headers tell it; ``reset_at_s`` on the wall clock."""

    limit: int
    remaining: int
    reset_s: float
    reset_at_s: float


class AskError(Exception):
    """The request is not what the format says; becomes an error answer."""

    def __init__(self, answer: ErrorAnswer) -> None:
        super().__init__(answer.message)
        self.answer = answer


class Dialect(Protocol):
    """How one wire format writes things."""

    overload_status: int
    token_rate_type: str

    def read(self, body: bytes) -> Ask:
        """Read a completion request.

        Raises:
            AskError: it cannot be served.
        """

    def count(self, body: bytes) -> bytes | None:
        """Return the answer to a count of prompt tokens, None where the format has none."""

    def plain(self, reply: Reply) -> bytes:
        """Return the body of a whole answer."""

    def stream(self, reply: Reply, ask: Ask, *, chunk_tokens: int) -> StreamParts:
        """Return the events of a streamed answer."""

    def silence(self, reply: Reply) -> bytes:
        """Return events that say nothing: pings, comments, empty deltas."""

    def broken(self, reply: Reply) -> bytes:
        """Return an event whose JSON is cut off."""

    def error(self, error: ErrorAnswer, request_id: str) -> bytes:
        """Return the body of an error answer."""

    def error_event(self, error: ErrorAnswer, request_id: str) -> bytes:
        """Return an error inside a stream."""

    def models(self, names: tuple[str, ...], created_at_s: int) -> bytes:
        """Return the list of models."""

    def id_headers(self, request_id: str) -> tuple[tuple[str, str], ...]:
        """Return the headers every answer carries."""

    def rate_headers(self, state: RateState) -> tuple[tuple[str, str], ...]:
        """Return the headers that describe a rate limit."""


def compose(name: str, number: int, ask: Ask, *, tokens: int, created_at_s: int) -> Reply:
    """Return the answer of provider ``name`` to its request ``number``, about ``tokens`` long."""
    bare = Reply(
        id=f"{name}{number:08d}",
        model=ask.model,
        created_at_s=created_at_s,
        prompt_tokens=ask.prompt_tokens,
        pieces=(),
        vectors=ask.vectors,
    )
    if ask.vectors is not None:
        return bare
    chosen = _chosen_tools(ask)
    if chosen:
        calls = tuple(_call(name, number, i, tool) for i, tool in enumerate(chosen))
        return replace(bare, calls=calls, finish=Finish.TOOL_CALL)
    if ask.json_schema is not None:
        pieces = _json_pieces(name, ask.json_schema)
    else:
        pieces = words(name, tokens)
    return _bounded(bare, pieces, ask)


def words(name: str, count: int) -> tuple[str, ...]:
    """Return ``count`` pieces, ``("alpha:0", " alpha:1", …)``, every fifth not ASCII."""
    tails = {4: "·ü", 9: "·日本🙂"}
    return tuple(f"{' ' if i else ''}{name}:{i}{tails.get(i % 10, '')}" for i in range(count))


def tool_start(reply: Reply, name: str, ask: Ask) -> Reply:
    """Return ``reply`` as one that calls a tool, whatever was asked."""
    tool = ask.tools[0] if ask.tools else OfferedTool(name="lookup", schema={})
    calls = (_call(name, 0, 0, tool),)
    return replace(reply, pieces=(), calls=calls, finish=Finish.TOOL_CALL)


def estimate_tokens(chars: int, messages: int, images: int) -> int:
    """Return the prompt tokens of a conversation; at least 1."""
    text = -(-chars // CHARS_PER_TOKEN)
    return max(1, text + messages * TOKENS_PER_MESSAGE + images * TOKENS_PER_IMAGE)


def _chosen_tools(ask: Ask) -> tuple[OfferedTool, ...]:
    if not ask.tools:
        return ()
    if ask.named_tool is not None:
        return tuple(tool for tool in ask.tools if tool.name == ask.named_tool)[:1]
    text = ask.last_text.lower()
    if not ask.answers_tool and "two tools" in text:
        return (ask.tools * 2)[:2]
    if ask.must_call or (not ask.answers_tool and "use a tool" in text):
        return ask.tools[:1]
    return ()


def _call(name: str, number: int, index: int, tool: OfferedTool) -> SaidCall:
    arguments = msgspec.json.encode(plausible(tool.schema)).decode()
    return SaidCall(id=f"{name}{number:06d}x{index}", name=tool.name, arguments=arguments)


def _json_pieces(name: str, schema: object) -> tuple[str, ...]:
    value = {"provider": name} if schema is True else plausible(schema)
    text = msgspec.json.encode(value).decode()
    return tuple(text[i : i + CHARS_PER_TOKEN] for i in range(0, len(text), CHARS_PER_TOKEN))


def _bounded(bare: Reply, pieces: tuple[str, ...], ask: Ask) -> Reply:
    """Cut the text at the first stop sequence, then at the limit of tokens."""
    text = "".join(pieces)
    hits = [(at, stop) for stop in ask.stop if stop and (at := text.find(stop)) >= 0]
    finish, stop_sequence = Finish.STOP, None
    if hits:
        at, stop_sequence = min(hits)
        finish, pieces = Finish.STOP_SEQUENCE, _cut(pieces, at)
    if ask.max_tokens is not None and len(pieces) > ask.max_tokens:
        finish, stop_sequence, pieces = Finish.LENGTH, None, pieces[: ask.max_tokens]
    return replace(bare, pieces=pieces, finish=finish, stop_sequence=stop_sequence)


def _cut(pieces: tuple[str, ...], chars: int) -> tuple[str, ...]:
    kept: list[str] = []
    for piece in pieces:
        if chars <= 0:
            break
        kept.append(piece[:chars])
        chars -= len(piece)
    return tuple(kept)
