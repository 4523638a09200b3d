"""Which call an operator asks about: the query of ``GET /api/v1/explain``, made into a call.

``?route=reason&within=2s&budget=0.01&quality=0.8!&prompt_tokens=500&tools=true``: what a call may
say is said as in its headers, and read by the very code that reads calls; the rest describes a body
that nobody wrote.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

from sidecar.domain import CallId, WireFormat
from sidecar.errors import BadRequestError
from sidecar.server.constraints import FIELDS, HEADER_PREFIX
from sidecar.server.intake import Arrival

if TYPE_CHECKING:
    from sidecar.domain import Call
    from sidecar.server.intake import Intake

PROMPT_TOKENS = 500
TOKENS_MAX = 10_000_000
_DIGITS_MAX = 9
_FORMATS = {
    form.value: form
    for form in (
        WireFormat.OPENAI_CHAT,
        WireFormat.OPENAI_RESPONSES,
        WireFormat.ANTHROPIC_MESSAGES,
        WireFormat.GEMINI,
    )
}
_SWITCHES = {"true": True, "1": True, "": True, "false": False, "0": False}
_OWN = ("route", "prompt_tokens", "max_tokens", "stream", "tools", "images", "format")
NAMES = (*_OWN, *FIELDS)
_SHOWN_CHARS_MAX = 100


def call_asked(query: str, intake: Intake, now: float) -> Call:
    """Return the call that a raw ``query`` describes, arriving now.

    Raises:
        BadRequestError: it describes none; names the parameter and what is expected.
        UnknownModelError: the route leads nowhere.
    """
    given = _pairs(query)
    if not given.get("route"):
        raise BadRequestError("route: expected the name of a route, a model or an alias")
    headers = {
        HEADER_PREFIX + name.replace("_", "-"): given[name] for name in FIELDS if name in given
    }
    arrival = Arrival(
        id=CallId("explained"), at=now, format=WireFormat.OPENAI_CHAT, headers=headers
    )
    body: dict[str, object] = {
        "model": given["route"],
        "messages": [{"role": "user", "content": "?"}],
        "stream": _switch(given, "stream"),
    }
    if "max_tokens" in given:
        body["max_tokens"] = _tokens(given, "max_tokens", 0)
    call = intake.completion(arrival, msgspec.json.encode(body))
    facts = replace(
        call.facts,
        prompt_tokens=_tokens(given, "prompt_tokens", PROMPT_TOKENS),
        has_tools=_switch(given, "tools"),
        has_images=_switch(given, "images"),
    )
    return replace(call, facts=facts, format=_format(given))


def _pairs(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=2 * len(NAMES))
    except ValueError:
        raise BadRequestError(f"too many parameters; there are {', '.join(NAMES)}") from None
    given: dict[str, str] = {}
    for name, text in pairs:
        shown = name[:_SHOWN_CHARS_MAX]
        if name not in NAMES:
            raise BadRequestError(f"no parameter {shown!r}; there are {', '.join(NAMES)}")
        if name in given:
            raise BadRequestError(f"the parameter {shown} is given twice; once is enough")
        given[name] = text
    return given


def _tokens(given: dict[str, str], name: str, default: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    is_number = text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX
    if not (is_number and 0 < int(text) <= TOKENS_MAX):
        shown = text[:_SHOWN_CHARS_MAX]
        raise BadRequestError(f"{name}: expected 1 to {TOKENS_MAX} tokens, got {shown!r}")
    return int(text)


def _switch(given: dict[str, str], name: str) -> bool:
    text = given.get(name, "false")
    if text not in _SWITCHES:
        shown = text[:_SHOWN_CHARS_MAX]
        raise BadRequestError(f"{name}: expected true or false, got {shown!r}")
    return _SWITCHES[text]


def _format(given: dict[str, str]) -> WireFormat:
    text = given.get("format", WireFormat.OPENAI_CHAT.value)
    if text not in _FORMATS:
        shown = text[:_SHOWN_CHARS_MAX]
        raise BadRequestError(f"format: expected {' or '.join(_FORMATS)}, got {shown!r}")
    return _FORMATS[text]
