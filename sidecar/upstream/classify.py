"""What a failed answer means: its class, the provider's own words, and when to come back.

The decision is the ordered table of the provider's kind (``kinds.py``); here the answer is brought
into the form that the table speaks of. Error bodies come as OpenAI's, Anthropic's and Google's
envelopes, wrapped in an array or in another provider's error, as bare text and as a proxy's HTML
page; all are read alike, so that an OpenAI-compatible server of any make is understood. Two things
are computed and not looked up: an HTML page is a proxy speaking, not the provider (S5, except where
the proxy's status is meant for us); and a token limit smaller than the very request can never be
waited out (CALLER, see the table).

The text goes into outcomes and error messages, so everything that looks like a key is cut out of
it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from sidecar.domain import Fault, OutcomeClass
from sidecar.upstream.pushback import pushback_s

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sidecar.upstream.kinds import ErrorRule, Kind

MESSAGE_CHARS_MAX: Final = 300

_TEXT_CHARS_MAX: Final = 4_096
_NESTING_MAX: Final = 3
_MASK: Final = "***"
_SECRETS: Final = (
    re.compile(r"\b(?:sk|gsk|xai|hf|r8)[-_][\w*.\-]{4,}", re.IGNORECASE),
    re.compile(r"\bAIza[\w\-]{10,}"),
    re.compile(r"\beyJ[\w\-]{8,}\.[\w\-.]{8,}"),
    re.compile(r"(?<=\bBearer )\S+", re.IGNORECASE),
    re.compile(r"(?<=api key provided: )\S+", re.IGNORECASE),
    re.compile(r"(?<=x-api-key: )\S+|(?<=x-api-key=)\S+|(?<=x-api-key:)[^\s]\S*", re.IGNORECASE),
    re.compile(r"(?<=api_key=)[^\s&]+|(?<=[?&]key=)[^\s&]+", re.IGNORECASE),
)
_HTML_START: Final = re.compile(r"\s*<(?:!doctype|html|head|body)\b", re.IGNORECASE)
_HTML_TITLE: Final = re.compile(r"<title>([^<]{0,200})</title>", re.IGNORECASE)
_HTML_MEANT_FOR_US: Final = frozenset({401, 402, 413, 414, 429, 529})
_LIMIT_AND_REQUEST: Final = re.compile(r"Limit:? (\d{1,12})\b.{0,80}?Requested:? ~?(\d{1,12})\b")
_ERROR_STATUS: Final = re.compile(r"[45][0-9]{2}")
_RETURNING: Final = frozenset(
    {OutcomeClass.RATE, OutcomeClass.QUOTA, OutcomeClass.OVERLOAD, OutcomeClass.S5}
)


@dataclass(slots=True)
class _Said:
    """What an error body says: texts and types, outermost first, and a status if it names one."""

    texts: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    status: int | None = None
    is_html: bool = False

    def text(self) -> str:
        return " ".join(" ".join(self.texts)[:_TEXT_CHARS_MAX].split())


def classify(
    kind: Kind, status: int, headers: Mapping[str, str], body: bytes, wall_now: float
) -> Fault:
    """Return what a failed answer means; pure, never raises.

    Args:
        kind: whose table decides.
        status: of the answer; 200 with the data of an in-stream error event as ``body``.
        headers: names in lower case; those of a 200 say nothing about the error and are not read.
        body: of the answer, bounded by the engine.
        wall_now: seconds since the epoch, for dates in headers.
    """
    said = _read(body, headers.get("content-type", ""))
    is_error_answer = status >= 400  # noqa: PLR2004 - HTTP's own border
    wait_s = pushback_s(headers if is_error_answer else {}, body, wall_now)
    effective = said.status if status < 300 and said.status is not None else status  # noqa: PLR2004
    cls = _verdict(kind.error_rules, effective, said, has_pushback=wait_s is not None)
    return Fault(
        cls=cls,
        message=_message(status, said),
        error_type=_error_type(said),
        status=status,
        retry_after_s=wait_s if cls in _RETURNING else None,
    )


def mask_secrets(text: str) -> str:
    """Return ``text`` with everything that looks like a key replaced."""
    for secret in _SECRETS:
        text = secret.sub(_MASK, text)
    return text


def _verdict(
    rules: tuple[ErrorRule, ...], status: int, said: _Said, *, has_pushback: bool
) -> OutcomeClass:
    if said.is_html and status not in _HTML_MEANT_FOR_US:
        return OutcomeClass.S5
    text = said.text()
    if status == 429 and _is_larger_than_limit(text):  # noqa: PLR2004
        return OutcomeClass.CALLER
    lowered = text.lower()
    for rule in rules:
        if rule.statuses and status not in rule.statuses:
            continue
        if rule.needs_no_pushback and has_pushback:
            continue
        if _is_about(rule, said.types, lowered):
            return rule.cls
    return OutcomeClass.S5


def _is_about(rule: ErrorRule, types: list[str], lowered: str) -> bool:
    if not rule.types and not rule.phrases:
        return True
    return any(kind in rule.types for kind in types) or any(
        phrase in lowered for phrase in rule.phrases
    )


def _is_larger_than_limit(text: str) -> bool:
    match = _LIMIT_AND_REQUEST.search(text)
    return match is not None and int(match[2]) > int(match[1])


def _error_type(said: _Said) -> str | None:
    """The code, where there is one, tells more than the type: ``context_length_exceeded``."""
    return mask_secrets(said.types[0])[:100] if said.types else None


def _message(status: int, said: _Said) -> str:
    if 300 <= status < 400:  # noqa: PLR2004
        return f"HTTP {status}: redirect refused"
    text = "".join(char for char in mask_secrets(said.text()) if char.isprintable())
    return text[:MESSAGE_CHARS_MAX] or f"HTTP {status}"


# --- reading the body --------------------------------------------------------------------------


def _read(body: bytes, content_type: str) -> _Said:
    said = _Said()
    text = body.decode("utf-8", errors="replace")
    if "text/html" in content_type or _HTML_START.match(text):
        said.is_html = True
        title = _HTML_TITLE.search(text)
        said.texts.append(title[1] if title else "an HTML page instead of an answer")
        return said
    _hear(said, _event_data(text), _NESTING_MAX)
    return said


def _event_data(text: str) -> str:
    """Return the data of a server-sent event if ``text`` is one."""
    if not text.startswith(("event:", "data:")):
        return text
    lines = (line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:"))
    return "\n".join(lines)


def _hear(said: _Said, text: str, nesting: int) -> None:
    """Add what ``text`` says, JSON or not, to ``said``."""
    try:
        value: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        said.texts.append(text[:_TEXT_CHARS_MAX])
        return
    if isinstance(value, list) and value:
        value = value[0]  # Vertex wraps its error in an array
    error = _innermost(value)
    if isinstance(error, str):
        said.texts.append(error)
    elif isinstance(error, dict):
        _hear_envelope(said, error, nesting)


def _innermost(value: object) -> object:
    """Return the error object of an envelope, or the value itself."""
    for key in ("response", "error"):  # response.failed of the Responses format, then all others
        if isinstance(value, dict) and isinstance(value.get(key), (dict, str)):
            value = value[key]
    return value


def _hear_envelope(said: _Said, error: dict[str, object], nesting: int) -> None:
    for key in ("code", "error_code", "type", "error_type", "status", "status_code"):
        value = error.get(key)
        status = _as_status(value)
        if status is not None:
            said.status = said.status or status
        elif isinstance(value, str) and value and not value.isdigit():
            said.types.append(value.lower())
    said.types.extend(_reasons(error.get("details")))
    said.texts.extend(_texts(error))
    metadata = error.get("metadata")  # OpenRouter carries the words of the provider behind it
    if isinstance(metadata, dict) and isinstance(metadata.get("raw"), str) and nesting > 0:
        _hear(said, metadata["raw"], nesting - 1)


def _reasons(details: object) -> Iterator[str]:
    """Yield the reasons of Google's error details: ``API_KEY_INVALID`` tells more than 400."""
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(detail.get("reason"), str):
            yield detail["reason"].lower()


def _as_status(value: object) -> int | None:
    """Return ``value`` if it is an HTTP error status, as a number or in digits."""
    text = str(value) if isinstance(value, (int, str)) else ""
    return int(text) if _ERROR_STATUS.fullmatch(text) else None


def _texts(error: dict[str, object]) -> Iterator[str]:
    for key in ("message", "detail", "msg"):
        value = error.get(key)
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):  # pydantic's list of complaints
            for complaint in value:
                if isinstance(complaint, dict) and isinstance(complaint.get("msg"), str):
                    yield complaint["msg"]
