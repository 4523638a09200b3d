"""Recorded exchanges with real providers, and what they are to the sidecar.

``tests/wire/recorded`` and ``recorded_more`` hold what other projects recorded (sources and
licences in their READMEs). An exchange counts if its format is registered; the counts by provider
are in ``docs/providers.md``.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from sidecar.domain import WireFormat
from sidecar.errors import WireError
from sidecar.wire.formats import CODECS, PROVIDER_CODECS
from sidecar.wire.neutral import ErrorSeen
from tests.scripted import PATH_OF, Caller
from tests.wire.pairs.fixtures import FIXTURES
from tests.wire.pairs.meaning import gathered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.wire.neutral import Completion

RECORDED = (Path(__file__).parent / "recorded", Path(__file__).parent / "recorded_more")
FORMATS: Mapping[str, WireFormat] = {
    "chat": WireFormat.OPENAI_CHAT,
    "openai_chat": WireFormat.OPENAI_CHAT,
    "responses": WireFormat.OPENAI_RESPONSES,
    "messages": WireFormat.ANTHROPIC_MESSAGES,
    "generateContent": WireFormat.GEMINI,
    "streamGenerateContent": WireFormat.GEMINI,
    "converse": WireFormat.BEDROCK_CONVERSE,
    "converse-stream": WireFormat.BEDROCK_CONVERSE,
    "native_chat": WireFormat.OLLAMA_CHAT,
}


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request and its answer; ``model`` as the caller named it."""

    name: str
    provider: str
    format: WireFormat
    url: str
    model: str
    is_stream: bool
    request: bytes
    status: int
    headers: Mapping[str, str]
    answer: bytes

    def completion(self) -> Completion | None:
        """Return the answer as it is understood, None if it is an error or not whole."""
        codec = PROVIDER_CODECS[self.format]
        if self.status != 200:
            return None
        try:
            if not self.is_stream:
                return codec.parse_response(self.answer)
            framer, parser = codec.framer(), codec.stream_parser()
            events = [*framer.feed(self.answer), *framer.end()]
            deltas = [delta for event in events for delta in parser.feed(event)]
        except WireError:
            return None
        is_whole = parser.is_complete() and not any(isinstance(one, ErrorSeen) for one in deltas)
        return gathered(deltas) if is_whole else None

    def caller(self) -> Caller:
        """Return the real client's request."""
        if self.format is WireFormat.GEMINI:
            return _gemini(self.model, self.request, is_stream=self.is_stream)
        return Caller(path=PATH_OF[self.format], body=self.request)

    def is_served(self) -> bool:
        """Return whether such a request is served at all: one in the background is not."""
        return not json.loads(self.request).get("background")

    def is_translatable(self) -> bool:
        """Return whether callers of other formats could have asked the same."""
        own = CODECS.get(self.format)
        return own is None or not own.inspect_request(self.request).untranslatable


def exchanges() -> list[Exchange]:
    """Return every recorded exchange of a registered format."""
    return [
        exchange
        for folder in RECORDED
        for path in sorted(folder.glob("*/*.json"))
        for position, recorded in enumerate(json.loads(path.read_bytes())["interactions"])
        if (exchange := _exchange(path, position, recorded)) is not None
    ]


def count_by_provider() -> Counter[tuple[str, WireFormat]]:
    """Return how many exchanges there are by provider and format."""
    return Counter((one.provider, one.format) for one in exchanges())


def _exchange(path: Path, position: int, recorded: dict[str, Any]) -> Exchange | None:
    wire_format = FORMATS.get(recorded["api"])
    request, answer = body_of(recorded["request"]), body_of(recorded["response"])
    if wire_format is None or not request or answer is None:
        return None
    if wire_format not in PROVIDER_CODECS:
        return None
    asked, url = json.loads(request), recorded["request"]["url"]
    return Exchange(
        name=f"{path.parent.name}-{path.stem[:70]}-{position}",
        provider=json.loads(path.read_bytes())["provider"],
        format=wire_format,
        url=url,
        model=_model(asked, url),
        is_stream=bool(asked.get("stream")) or "stream" in recorded["api"],
        request=request,
        status=recorded["response"]["status"],
        headers=headers_of(recorded["response"].get("headers") or {}),
        answer=answer,
    )


def body_of(message: dict[str, Any]) -> bytes | None:
    """Return the exact bytes of a request's or an answer's body, None if it has none."""
    if message.get("body_b64") is not None:
        return base64.b64decode(message["body_b64"])
    text = message.get("body_text")
    return None if text is None else str(text).encode()


def headers_of(recorded: dict[str, Any]) -> dict[str, str]:
    """Return the headers that say something of the body as it was written down."""
    kept = {"content-type", "retry-after"}
    pairs = ((name.lower(), value) for name, value in recorded.items())
    return {
        name: value[0] if isinstance(value, list) else value
        for name, value in pairs
        if name in kept
    }


def _model(asked: dict[str, Any], url: str) -> str:
    if "model" in asked:
        return str(asked["model"])
    return unquote(urlsplit(url).path.rsplit("/", 1)[-1].partition(":")[0])


def asking(caller: WireFormat, *, is_stream: bool, feature: str = "text") -> Caller:
    """Return a question of a caller in some format, a plain one for a recorded answer."""
    body = FIXTURES[caller].asks[feature]
    if caller is WireFormat.GEMINI:
        return _gemini("m", body, is_stream=is_stream)
    if is_stream:
        members = {**json.loads(body), "stream": True}
        if caller is WireFormat.OPENAI_CHAT:
            members["stream_options"] = {"include_usage": True}
        body = json.dumps(members).encode()
    return Caller(path=PATH_OF[caller], body=body)


def _gemini(model: str, body: bytes, *, is_stream: bool) -> Caller:
    method = "streamGenerateContent" if is_stream else "generateContent"
    path = f"/v1beta/models/{model}:{method}"
    return Caller(path=path, query="alt=sse" if is_stream else "", body=body)


def heard(caller: WireFormat, received: bytes, *, is_stream: bool) -> Completion:
    """Return what a caller's own parser makes of the bytes it received."""
    codec = CODECS[caller]
    if not is_stream:
        return codec.parse_response(received)
    framer, parser = codec.framer(), codec.stream_parser()
    events = [*framer.feed(received), *framer.end()]
    whole = gathered(delta for event in events for delta in parser.feed(event))
    assert parser.is_complete(), "the caller would take the stream for cut off"
    return whole
