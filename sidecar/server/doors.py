"""Which path of the data plane is what: one table from paths to what is asked there.

Paths work with and without ``/v1``, and with it twice: SDKs disagree on whether it belongs to the
base URL. Gemini's paths name model and method themselves (``/v1beta/models/{name}:{method}``), and
whether a stream is a stream of events or one JSON array (``alt=sse``).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from sidecar.domain import WireFormat
from sidecar.value import value
from sidecar.wire.formats import is_spoken

if TYPE_CHECKING:
    from collections.abc import Mapping

PATHS = (
    "POST /v1/chat/completions",
    "POST /v1/responses",
    "POST /v1/embeddings",
    "POST /v1/messages",
    "POST /v1/messages/count_tokens",
    "POST /v1/tasks/{route}",
    "POST /v1/feedback",
    "GET /v1/models",
    "GET /v1/models/{id}",
    "POST /v1beta/models/{name}:generateContent",
    "POST /v1beta/models/{name}:streamGenerateContent",
    "POST /v1beta/models/{name}:countTokens",
    "GET /v1beta/models",
    "GET /v1beta/models/{name}",
    "POST /v1beta/models/{name}:embedContent",
    "POST /v1beta/models/{name}:batchEmbedContents",
    "* /{provider}/…",
)
_FORMATS = {
    "/chat/completions": WireFormat.OPENAI_CHAT,
    "/responses": WireFormat.OPENAI_RESPONSES,
    "/embeddings": WireFormat.OPENAI_EMBEDDINGS,
    "/messages": WireFormat.ANTHROPIC_MESSAGES,
}
_COUNT, _TASKS, _MODELS = "/messages/count_tokens", "/tasks/", "/models"
_FEEDBACK = "/feedback"
_VERSIONS = ("", "/v1", "/v1/v1", "/v1beta", "/v1beta/v1", "/v1beta/v1/v1")
_GEMINI_METHODS = {
    "generateContent": WireFormat.GEMINI,
    "streamGenerateContent": WireFormat.GEMINI,
    "countTokens": WireFormat.GEMINI,
    "embedContent": WireFormat.GEMINI_EMBEDDINGS,
    "batchEmbedContents": WireFormat.GEMINI_EMBEDDINGS,
}


class Operation(Enum):
    """What is asked behind a door."""

    ANSWER = "answer"
    COUNT = "count"
    TASK = "task"
    LIST = "list"
    FEEDBACK = "feedback"


@value
class Door:
    """One path. ``name`` is the model or task that it names, ``is_stream`` what it says of
    streaming; None: the body says so. ``is_array``: a stream is wanted as one JSON array.
    """

    operation: Operation
    format: WireFormat
    method: str = "POST"
    name: str | None = None
    is_stream: bool | None = None
    is_array: bool = False


def _posts() -> dict[str, Door]:
    """Return the doors whose whole path is known, by each of its spellings."""
    doors = {
        rest: Door(operation=Operation.ANSWER, format=form)
        for rest, form in _FORMATS.items()
        if is_spoken(form)
    }
    doors[_COUNT] = Door(operation=Operation.COUNT, format=WireFormat.ANTHROPIC_MESSAGES)
    doors[_FEEDBACK] = Door(operation=Operation.FEEDBACK, format=WireFormat.OPENAI_CHAT)
    return {version + rest: door for rest, door in doors.items() for version in _VERSIONS}


_POSTS = _posts()


def door_of(path: str, query: str, headers: Mapping[str, str]) -> Door | None:
    """Return what is behind ``path``, None if nothing is."""
    door = _POSTS.get(path)
    if door is not None:
        return door
    rest = path.removeprefix("/v1beta") if path.startswith("/v1beta/") else path
    rest = rest.removeprefix("/v1").removeprefix("/v1")
    if task := _after(rest, _TASKS):
        return Door(operation=Operation.TASK, format=WireFormat.OPENAI_CHAT, name=task)
    if rest == _MODELS or _after(rest, _MODELS + "/"):
        return _models_door(path, rest, query, headers)
    return None


def format_of(path: str, headers: Mapping[str, str]) -> WireFormat:
    """Return the format in which somebody who found no door, or asks for a list, is told so."""
    if "/messages" in path or headers.get("anthropic-version") is not None:
        return WireFormat.ANTHROPIC_MESSAGES
    is_gemini = path.startswith("/v1beta/") or headers.get("x-goog-api-key") is not None
    return WireFormat.GEMINI if is_gemini else WireFormat.OPENAI_CHAT


def _models_door(path: str, rest: str, query: str, headers: Mapping[str, str]) -> Door | None:
    name = _after(rest, _MODELS + "/")
    model, colon, method = name.rpartition(":")
    if colon and is_spoken(_GEMINI_METHODS.get(method)):
        return Door(
            operation=Operation.COUNT if method == "countTokens" else Operation.ANSWER,
            format=_GEMINI_METHODS[method],
            name=model,
            is_stream=method == "streamGenerateContent",
            is_array=method == "streamGenerateContent" and parse_qs(query).get("alt") != ["sse"],
        )
    shape = format_of(path, headers)
    return Door(operation=Operation.LIST, format=shape, method="GET", name=name or None)


def _after(path: str, prefix: str) -> str:
    """Return what follows ``prefix``, decoded; empty if nothing does."""
    return unquote(path.removeprefix(prefix)) if path.startswith(prefix) else ""
