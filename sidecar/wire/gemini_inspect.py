"""Gemini requests that keep their format: a glance at what matters, and the few changes we make.

Model and stream flag are in the path. Of media only the type is looked at. A request is
untranslatable where it asks for what only Google has: its own tools, its cache and file store,
documents, sound and video, several candidates, other output than text.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from sidecar.domain import RequestFacts
from sidecar.errors import WireError
from sidecar.wire.decode import check_utf8, decode
from sidecar.wire.gemini_names import camel, camel_cased
from sidecar.wire.gemini_parts import Content, Part, foreign_kind, is_null, is_text
from sidecar.wire.splice import read_members, remove_member, replace_members

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BYTES_PER_TOKEN = 3.6
_TOKENS_PER_MEDIUM = 1120
"""What Gemini 3 charges for a picture; pages of documents cost less, films more."""
_NULL = msgspec.Raw(b"null")
_FUNCTIONS = "functionDeclarations"
_NAMING = ("model", "generateContentRequest", "generate_content_request")
_ENUM_TYPE = "text/x.enum"
_JSON_TYPE = "application/json"


class _CallingConfig(msgspec.Struct, rename="camel"):
    stream_function_call_arguments: bool | None = None


class _ToolConfig(msgspec.Struct, rename="camel"):
    function_calling_config: _CallingConfig | None = None


class _Config(msgspec.Struct, rename="camel"):
    max_output_tokens: int | None = None
    candidate_count: int | None = None
    response_logprobs: bool | None = None
    response_modalities: list[str] | None = None
    response_mime_type: str | None = None
    speech_config: msgspec.Raw = _NULL
    image_config: msgspec.Raw = _NULL


class _Request(msgspec.Struct, rename="camel"):
    contents: list[Content]
    system_instruction: Content | None = None
    tools: list[msgspec.Raw] | None = None
    tool_config: _ToolConfig | None = None
    generation_config: _Config | None = None
    cached_content: str | None = None


class _Count(msgspec.Struct, rename="camel"):
    contents: list[Content] | None = None
    generate_content_request: msgspec.Raw = _NULL


_REQUEST = msgspec.json.Decoder(_Request)
_COUNT = msgspec.json.Decoder(_Count)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def inspect_request(body: bytes) -> RequestFacts:
    """Return the facts of a request; errors as in ``Codec.inspect_request``."""
    check_utf8(body)
    request = decode(_REQUEST, camel_cased(body))
    if not request.contents:
        raise WireError("contents is empty", "$.contents")
    return _facts(request)


def inspect_count(body: bytes) -> RequestFacts:
    """Return the facts of a request to count tokens: contents, or a whole request within it."""
    check_utf8(body)
    count = decode(_COUNT, camel_cased(body))
    if not is_null(count.generate_content_request):
        path = "$.generateContentRequest"
        return _facts(decode(_REQUEST, count.generate_content_request, path))
    if not count.contents:
        raise WireError("contents is empty", "$.contents")
    return _facts(_Request(contents=count.contents))


def rewrite_request(
    body: bytes, *, model: str, system: str | None, max_tokens: tuple[str, int] | None
) -> bytes:
    """Return ``body`` for another model (see ``Codec``); nearly always the very same bytes, as the
    path names the model.

    Raises:
        WireError: ``body`` is not a JSON object.
    """
    if not decode(_MEMBERS, body).keys().isdisjoint(_NAMING):
        body = _with_model(body, model)
    if max_tokens is not None:
        body = _with_max_tokens(body, max_tokens[1])
    if system is not None:
        body = _without(body, "systemInstruction")
        instruction = msgspec.json.encode({"parts": [{"text": system}]})
        body = replace_members(body, {"systemInstruction": instruction})
    return body


def _with_model(body: bytes, model: str) -> bytes:
    """Rename the model where a body repeats it, and within a request to count."""
    name = msgspec.json.encode(f"models/{model.removeprefix('models/')}")
    members = read_members(body)
    if "model" in members:
        body = replace_members(body, {"model": name})
    for key in members:
        if camel(key) == "generateContentRequest" and members[key].startswith(b"{"):
            body = replace_members(body, {key: replace_members(members[key], {"model": name})})
    return body


def _with_max_tokens(body: bytes, limit: int) -> bytes:
    members = read_members(body)
    key = next((one for one in members if camel(one) == "generationConfig"), "generationConfig")
    config = members.get(key, b"{}")
    config = _without(config if config != b"null" else b"{}", "maxOutputTokens")
    return replace_members(body, {key: replace_members(config, {"maxOutputTokens": b"%d" % limit})})


def _without(body: bytes, name: str) -> bytes:
    """Return ``body`` without the member ``name`` in either spelling."""
    for key in [key for key in read_members(body) if camel(key) == name]:
        body, _ = remove_member(body, key)
    return body


def _facts(request: _Request) -> RequestFacts:
    system = request.system_instruction
    parts = [
        part
        for content in (*([] if system is None else [system]), *request.contents)
        for part in content.parts or ()
    ]
    text_bytes = sum([_size(part.text) for part in parts if part.text])
    parts = [part for part in parts if not is_text(part)]
    config = request.generation_config or _Config()
    media = [blob for part in parts for blob in (part.inline_data, part.file_data) if blob]
    returned = [
        item for p in parts if p.function_response for item in p.function_response.parts or ()
    ]
    text_bytes += sum(map(_call_bytes, parts)) + sum(len(raw) for raw in request.tools or ())
    return RequestFacts(
        model="",
        is_stream=False,
        prompt_tokens=math.ceil(text_bytes / _BYTES_PER_TOKEN)
        + _TOKENS_PER_MEDIUM * (len(media) + len(returned)),
        max_tokens=config.max_output_tokens,
        has_tools=bool(request.tools),
        has_images=any(blob.mime_type.startswith("image/") for blob in media) or bool(returned),
        wants_usage_in_stream=True,
        untranslatable=tuple(dict.fromkeys(_untranslatable(request, config, parts))),
        may_bind_output=config.response_mime_type == _JSON_TYPE,
        has_tool_results=any(part.function_response for part in parts),
    )


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _call_bytes(part: Part) -> int:
    """Return how long the JSON of calls and their results is."""
    size = 0
    if part.function_call is not None:
        size += len(part.function_call.args)
    if part.function_response is not None:
        size += len(part.function_response.response)
    return size


def _untranslatable(request: _Request, config: _Config, parts: Sequence[Part]) -> Iterator[str]:
    """Name what only this format can answer as asked."""
    calling = request.tool_config.function_calling_config if request.tool_config else None
    checks = {
        "cachedContent": bool(request.cached_content),
        "candidateCount": (config.candidate_count or 1) > 1,
        "responseLogprobs": bool(config.response_logprobs),
        "responseModalities": any(m.upper() != "TEXT" for m in config.response_modalities or ()),
        "responseMimeType": config.response_mime_type == _ENUM_TYPE,
        "speechConfig": not is_null(config.speech_config),
        "imageConfig": not is_null(config.image_config),
        "streamFunctionCallArguments": calling is not None
        and bool(calling.stream_function_call_arguments),
    }
    yield from (name for name, is_used in checks.items() if is_used)
    for tool in request.tools or ():
        yield from foreign_tools(tool, "$.tools")
    yield from (kind for part in parts if (kind := foreign_kind(part)) is not None)


def foreign_tools(tool: msgspec.Raw, path: str) -> list[str]:
    """Return the names of Google's own tools in an entry of ``tools``."""
    members = decode(_MEMBERS, tool, path)
    return [
        camel(name)
        for name, raw in members.items()
        if camel(name) != _FUNCTIONS and not is_null(raw)
    ]
