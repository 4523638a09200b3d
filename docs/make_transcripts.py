# ruff: noqa: INP001 - a script, run by its path

"""Makes ``docs/transcripts.md``: ``python docs/make_transcripts.py``.

Starts two simulated providers and ``sidecar run`` on the ports that the transcripts show, runs each
program and command below in a process of its own, and writes down what it printed, as it is; only
call ids, which are random, are shortened. Needs the ``test`` extra, for the SDKs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]
CONFIG = """\
providers:
  alpha: {kind: openai, base_url: http://127.0.0.1:4191/v1}
  beta: {kind: anthropic, base_url: http://127.0.0.1:4192}

models:
  large: {provider: alpha, model: alpha-large, quality: 0.9, price: {input: 2, output: 8}, context: 128000}
  rival: {provider: beta, model: beta-large, quality: 0.9, price: {input: 3, output: 15}, context: 128000}

routes:
  reason: {tiers: [[large], [rival]], within: 20s}
"""  # noqa: E501 - as a reader would write it
TOOL = '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'
FAULT = "curl -s http://127.0.0.1:{port}/_sim/faults -d '{fault}'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One program (``python``) or command (``sh``), and what is to be said before it."""

    title: str
    text: str
    code: str
    language: str = "python"


SCENES = (
    Scene(
        title="OpenAI's SDK",
        text="Only the base URL differs from a program that calls OpenAI. The headers say who "
        "answered, after which attempts, and at which cost.",
        code="""
            import openai

            client = openai.OpenAI(base_url="http://127.0.0.1:4180/v1", api_key="unused")
            raw = client.chat.completions.with_raw_response.create(
                model="reason", messages=[{"role": "user", "content": "Hello"}]
            )
            answer = raw.parse()
            print(answer.choices[0].message.content)
            print(answer.choices[0].finish_reason, answer.usage.total_tokens, "tokens")
            for name, value in raw.headers.items():
                if name.startswith("x-sidecar"):
                    print(f"{name}: {value}")
        """,
    ),
    Scene(
        title="The same, streamed",
        text="",
        code="""
            import openai

            client = openai.OpenAI(base_url="http://127.0.0.1:4180/v1", api_key="unused")
            with client.chat.completions.stream(
                model="reason",
                messages=[{"role": "user", "content": "Hello"}],
                stream_options={"include_usage": True},
            ) as stream:
                for event in stream:
                    if event.type == "content.delta":
                        print(event.delta, end="|")
                print()
                print(stream.get_final_completion().usage.completion_tokens, "tokens")
        """,
    ),
    Scene(
        title="Anthropic's SDK, answered by an OpenAI provider",
        text="The tool, its call, its result and the answer are translated both ways.",
        code=f"""
            import anthropic

            client = anthropic.Anthropic(base_url="http://127.0.0.1:4180", api_key="unused")
            weather = {{"name": "weather", "input_schema": {TOOL}}}
            ask = {{"model": "large", "max_tokens": 100, "tools": [weather]}}
            turns = [{{"role": "user", "content": "Please use a tool."}}]

            raw = client.messages.with_raw_response.create(messages=turns, **ask)
            print("answered by", raw.headers["x-sidecar-model"])
            message = raw.parse()
            call = message.content[0]
            print(message.stop_reason, call.name, call.input)

            result = {{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}}
            turns += [
                {{"role": "assistant", "content": message.content}},
                {{"role": "user", "content": [result]}},
            ]
            message = client.messages.create(messages=turns, **ask)
            print(message.stop_reason, message.content[0].text)
        """,
    ),
    Scene(
        title="From a shell",
        text="The plain form names the route in the path. A stream ends with a comment that "
        "carries the final figures.",
        language="sh",
        code="""
            curl -s http://127.0.0.1:4180/v1/tasks/reason -d '{"input": "Hello", "max_tokens": 3}'
            echo
            curl -sN http://127.0.0.1:4180/v1/tasks/reason \\
              -d '{"input": "Hello", "max_tokens": 3, "stream": true}'
        """,
    ),
    Scene(
        title="A constraint that nothing can meet",
        text="Nothing is sent; the error names what could be met.",
        code="""
            import openai

            client = openai.OpenAI(base_url="http://127.0.0.1:4180/v1", api_key="unused")
            try:
                client.chat.completions.create(
                    model="reason",
                    messages=[{"role": "user", "content": "Hello"}],
                    max_tokens=10,
                    extra_body={"sidecar": {"budget": 0.00001}},
                )
            except openai.UnprocessableEntityError as error:
                print(error.code, error.body["message"])
        """,
    ),
    Scene(
        title="A provider fails",
        text="From here on `alpha` answers every completion with 500.",
        language="sh",
        code=FAULT.format(port=4191, fault='[{"kind": "status", "status": 500}]'),
    ),
    Scene(
        title="… and nobody notices",
        text="The same program as above gets its answer from the other provider, of the other "
        "format.",
        code="""
            import openai

            client = openai.OpenAI(base_url="http://127.0.0.1:4180/v1", api_key="unused")
            raw = client.chat.completions.with_raw_response.create(
                model="reason", messages=[{"role": "user", "content": "Hello"}]
            )
            print(raw.parse().choices[0].message.content)
            print(raw.headers["x-sidecar-attempts"])
        """,
    ),
    Scene(
        title="A stream breaks",
        text="Now `beta` resets every connection after four words. What was delivered is not taken "
        "for an answer: the stream ends in an error and without a success marker.",
        language="sh",
        code=FAULT.format(port=4192, fault='[{"kind": "reset_after", "after_tokens": 4}]')
        + """
            echo
            curl -sN http://127.0.0.1:4180/v1/tasks/reason -d '{"input": "Hello", "stream": true}'
        """,
    ),
    Scene(
        title="All down",
        text="Both fail. The error is a 503 that lists every attempt and tells the SDK not to try "
        "again, since the sidecar already has.",
        language="sh",
        code=FAULT.format(port=4192, fault='[{"kind": "status", "status": 529}]'),
    ),
    Scene(
        title="… as Anthropic's SDK sees it",
        text="",
        code="""
            import anthropic

            client = anthropic.Anthropic(base_url="http://127.0.0.1:4180", api_key="unused")
            try:
                client.messages.create(
                    model="reason", max_tokens=9, messages=[{"role": "user", "content": "Hello"}]
                )
            except anthropic.InternalServerError as error:
                print(error.status_code, error.body["error"]["message"])
                for name in ("x-sidecar-error", "x-sidecar-attempts", "x-should-retry"):
                    print(f"{name}: {error.response.headers[name]}")
        """,
    ),
)
HEAD = """\
# Transcripts

Both official SDKs against a sidecar between two simulated providers. Every output is what the
program above it printed; `python docs/make_transcripts.py` makes this file anew (call ids are
random and shortened here). The configuration:

```yaml
{config}```

Started by:

```sh
{commands}
```
"""


def main() -> None:
    """Run everything and write the file."""
    config = Path(__file__).with_name("transcripts.yaml")
    commands = [
        *(
            f"python -m sidecar.upstream.simulated_server --name {name} --format {form}"
            f" --port {port} --models model={name}-large &"
            for name, form, port in (
                ("alpha", "openai-chat", 4191),
                ("beta", "anthropic-messages", 4192),
            )
        ),
        "sidecar run --config transcripts.yaml",
    ]
    with ExitStack() as stack:
        config.write_text(CONFIG)
        stack.callback(config.unlink)
        for command in commands:
            _start(command.removesuffix(" &").replace("transcripts.yaml", str(config)), stack)
        parts = [HEAD.format(config=CONFIG, commands="\n".join(commands))]
        parts += [_play(scene) for scene in SCENES]
    Path(__file__).with_name("transcripts.md").write_text("\n".join(parts))


def _start(command: str, stack: ExitStack) -> None:
    """Start a server and wait until it says that it is there."""
    words = command.replace("sidecar run", "python -m sidecar.cli.main run").split()[1:]
    process = subprocess.Popen(  # noqa: S603 - our own programs
        [sys.executable, *words],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    stack.callback(process.communicate)
    stack.callback(process.terminate)
    assert process.stdout is not None
    for line in process.stdout:
        if "base_url" in line or "callers may name" in line:
            return
    raise SystemExit(f"{command}: did not start; is one of its ports taken?")


def _play(scene: Scene) -> str:
    code = dedent(scene.code).strip()
    if scene.language == "sh":
        code = "\n".join(line.strip() if line[:8] == " " * 8 else line for line in code.split("\n"))
    command = [sys.executable, "-c", code] if scene.language == "python" else ["sh", "-c", code]
    done = subprocess.run(  # noqa: S603 - the code above
        command, capture_output=True, text=True, check=True, env=os.environ, timeout=60
    )
    output = re.sub(r"call_([0-9a-f]{4})[0-9a-f]{20}", "call_…", done.stdout).strip()
    said = f"## {scene.title}\n\n"
    if scene.text:
        said += scene.text + "\n\n"
    return said + f"```{scene.language}\n{code}\n```\n\n```text\n{output}\n```\n"


if __name__ == "__main__":
    main()
