"""What was said, as the conventions want it, without what must not leave.

Only where somebody switched the recording of content on. Keys, addresses of mail and numbers of
cards are always cut out, then what the configuration's own patterns match. A message is cut to its
bound before, so that a pattern has a bound on its work too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from sidecar.decisions import Content, Message
    from sidecar.telemetry.settings import TelemetrySettings
    from sidecar.telemetry.span import Attributes

CUT = "[redacted]"
MESSAGES_MAX = 64
ALWAYS = (
    r"\b(?:sk|pk|rk|xai|gsk|hf|ghp|gho|AKIA|AIza)[-_]?[A-Za-z0-9_-]{16,}",
    r"(?i)\bbearer\s+[A-Za-z0-9._~+/=-]{8,}",
    r"\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}",
    r"\b\d(?:[ -]?\d){12,18}\b",
)


class Redactor:
    """Turns content into attributes."""

    def __init__(self, settings: TelemetrySettings) -> None:
        self._patterns = [re.compile(one) for one in (*ALWAYS, *settings.redact)]
        self._chars_max = settings.content_chars

    def attributes(self, content: Content) -> Attributes:
        """Return ``gen_ai.input.messages`` and the like, JSON as the conventions have it."""
        system = [one for one in content.asked if one.role == "system"]
        asked = [one for one in content.asked if one.role != "system"][-MESSAGES_MAX:]
        said: Attributes = {}
        if system:
            parts = [part for one in system for part in self._message(one)["parts"]]
            said["gen_ai.system_instructions"] = _json(parts)
        if asked:
            said["gen_ai.input.messages"] = _json([self._message(one) for one in asked])
        if content.answered:
            said["gen_ai.output.messages"] = _json([self._message(one) for one in content.answered])
        return said

    def clean(self, text: str) -> str:
        """Return ``text`` cut to its bound, without what is not to be seen."""
        is_long = len(text) > self._chars_max
        text = text[: self._chars_max]
        for pattern in self._patterns:
            text = pattern.sub(CUT, text)
        return text + "…" if is_long else text

    def _message(self, message: Message) -> dict[str, list[dict[str, str]]]:
        parts = [{"type": kind, "content": self.clean(text)} for kind, text in message.parts]
        return {"role": message.role, "parts": parts}  # type: ignore[dict-item]


def _json(said: object) -> str:
    return msgspec.json.encode(said).decode()
