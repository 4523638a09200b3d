"""What is cut out of prompts and answers before they leave."""

from __future__ import annotations

import json

import pytest

from sidecar.decisions import Content, Message
from sidecar.telemetry.redaction import CUT, MESSAGES_MAX, Redactor
from sidecar.telemetry.settings import TelemetrySettings

KEY = "sk-proj-" + "a1B2" * 8


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("nothing here", "nothing here"),
        (f"my key is {KEY}!", f"my key is {CUT}!"),
        ("Authorization: Bearer abc.def-ghi123", f"Authorization: {CUT}"),
        ("ask ada.l@mail.example.org, please", f"ask {CUT}, please"),
        ("card 4111 1111 1111 1111 end", f"card {CUT} end"),
        ("order 12345, room 7", "order 12345, room 7"),
        ("case-99 is mine", f"{CUT} is mine"),
        ("x" * 120, "x" * 100 + "…"),
    ],
)
def test_what_must_not_leave_is_cut(text: str, clean: str) -> None:
    """Keys, addresses and cards always, then what the configuration says; long texts are cut."""
    redactor = Redactor(TelemetrySettings(redact=(r"case-\d+",), content_chars=100))
    assert redactor.clean(text) == clean


def test_messages_are_as_the_conventions_want_them() -> None:
    """System instructions apart, the latest messages, parts by type."""
    talk = [Message(role="user", parts=(("text", str(number)),)) for number in range(100)]
    content = Content(
        asked=(Message(role="system", parts=(("text", "be kind"),)), *talk),
        answered=(Message(role="assistant", parts=(("text", f"yes {KEY}"),)),),
    )
    said = Redactor(TelemetrySettings()).attributes(content)
    assert said["gen_ai.system_instructions"] == '[{"type":"text","content":"be kind"}]'
    asked = json.loads(str(said["gen_ai.input.messages"]))
    assert len(asked) == MESSAGES_MAX
    assert asked[-1] == {"role": "user", "parts": [{"type": "text", "content": "99"}]}
    assert KEY not in str(said["gen_ai.output.messages"])
