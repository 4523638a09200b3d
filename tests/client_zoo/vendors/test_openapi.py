"""Requests made up from OpenAI's own description of its API, by schemathesis.

Whatever fits the description gets an answer that fits it too, and never a 5xx. Two things are added
to it: the models that there are, and OpenAI's form of an error for every status it does not name.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from zoo import BOTH, MODELS, TOOL_PLEASE, URL, WHERE

if TYPE_CHECKING:
    from zoo import Asked

SPEC = Path(__file__).with_name("openai_chat.json")
MORE = Path(__file__).with_name("openai_more.json")
PHASES = "coverage,fuzzing" if WHERE["is_thorough"] else "fuzzing"
"""``coverage`` walks along every field's bounds, a thousand requests and more."""
ANSWERED_MIN = 20


def spec() -> dict[str, Any]:
    """Return the description, with our models and errors."""
    described: dict[str, Any] = json.loads(SPEC.read_text(encoding="utf-8"))
    schemas = described["components"]["schemas"]
    (request,) = [
        part for part in schemas["CreateChatCompletionRequest"]["allOf"] if _has_model(part)
    ]
    request["properties"]["model"] = {"type": "string", "enum": list(MODELS)}
    for operation in described["paths"]["/chat/completions"].values():
        # schemathesis would compare the event around a chunk to the form of a chunk
        del operation["responses"]["200"]["content"]["text/event-stream"]
    error = {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}
    for operations in described["paths"].values():
        for operation in operations.values():
            content = {"application/json": error}
            operation["responses"]["default"] = {"description": "error", "content": content}
    return described


def _has_model(part: dict[str, Any]) -> bool:
    return "model" in part.get("properties", {})


def test_conforms(tmp_path: Path, asked: Asked) -> None:
    """No server error, and no answer but of the described form; most requests come through."""
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(spec()))
    check(file, tmp_path, "not_a_server_error,response_schema_conformance")
    assert asked.count() > ANSWERED_MIN


def test_responses_and_embeddings_meet_no_server_error(tmp_path: Path) -> None:
    """Whatever fits the description is answered, or refused as the caller's mistake."""
    check(MORE, tmp_path, "not_a_server_error")


def check(description: Path, folder: Path, checks: str) -> None:
    """Let schemathesis make up requests from ``description``."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(description)]
    command += ["--url", f"{URL}/v1", "--checks", checks]
    command += ["--phases", PHASES, "--max-examples", "40"]
    command += ["--seed", "1", "--suppress-health-check", "all", "--warnings", "off"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


@BOTH
@pytest.mark.parametrize("text", ["hello", TOOL_PLEASE])
def test_chunks_conform(model: str, text: str) -> None:
    """Every chunk of a stream, text or a tool's call, is of the described form."""
    root = {"$ref": "#/components/schemas/CreateChatCompletionStreamResponse", **spec()}
    form = jsonschema_rs.validator_for(root)
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    body = {"model": model, "stream": True, "stream_options": {"include_usage": True}}
    body |= {"messages": [{"role": "user", "content": text}], "tools": [tool]}
    request = urllib.request.Request(f"{URL}/v1/chat/completions", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        lines = [line.decode().removeprefix("data: ") for line in answer if line[:5] == b"data:"]
    assert lines[-1].strip() == "[DONE]"
    assert len(lines) > 3
    assert [str(error) for line in lines[:-1] for error in form.iter_errors(json.loads(line))] == []
