"""``transformers serve`` with a tiny model of random weights, behind a sidecar of its own.

Its habits are its own: streams without ``[DONE]``, token counts unasked, errors as ``detail``.
Not among the groups that run unless named, since what it needs is large.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from collections.abc import Iterator

WHERE = json.loads(os.environ["CLIENT_ZOO"])
CONFIG = """
listen: {{data: "127.0.0.1:0", admin: "127.0.0.1:0", health: "127.0.0.1:0"}}
providers:
  own: {{kind: openai, base_url: "http://127.0.0.1:{port}/v1", capacity: dedicated}}
models:
  tiny: {{provider: own, model: {model}, context: 512}}
  missing: {{provider: own, model: {model}-missing, context: 512}}
"""
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
HELLO: Any = [{"role": "user", "content": "hi"}]
TRIES, TRY_S = 1200, 0.1


def make_model(folder: Path) -> None:
    """Write a model of random weights, with a tokenizer of bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: number for number, word in enumerate(["<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    config = LlamaConfig(vocab_size=len(words), max_position_embeddings=512, **sizes, **heads)
    LlamaForCausalLM(config).save_pretrained(folder)


@contextlib.contextmanager
def running(log: Path, sign: str, *command: str, cwd: str | None = None) -> Iterator[str]:
    """Run a program; yield what it said once it says ``sign``."""
    more = {"HF_HUB_OFFLINE": "1"}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=sink, env={**os.environ, **more}, cwd=cwd
        )
    try:
        for _ in range(TRIES):
            if re.search(sign, log.read_text()):
                break
            assert process.poll() is None, log.read_text()
            time.sleep(TRY_S)
        yield log.read_text()
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return where a sidecar before the server is."""
    folder = tmp_path_factory.mktemp("servers")
    make_model(folder / "tiny")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(sys.executable).with_name("transformers"))
    serve = (program, "serve", str(folder / "tiny"), "--host", "127.0.0.1", "--port", str(port))
    (folder / "sidecar.yaml").write_text(CONFIG.format(port=port, model=folder / "tiny"))
    run = ("-m", "sidecar.cli.main", "run", "--config", str(folder / "sidecar.yaml"))
    with (
        running(folder / "serve.log", "startup complete", *serve, "--device", "cpu"),
        running(
            folder / "run.log", "callers may name", WHERE["python"], *run, cwd=WHERE["root"]
        ) as said,
    ):
        found = re.search(r"data +(http://[\w.:]+)", said)
        assert found is not None
        yield found[1]


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    """OpenAI's client at the sidecar."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as made:
        yield made


def test_a_whole_answer(client: openai.OpenAI) -> None:
    """It has as many tokens as were allowed, and says so."""
    answer = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=8)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8


def test_a_stream_without_a_marker_is_whole(client: openai.OpenAI) -> None:
    """Its finish reason is the end: no error follows."""
    stream = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=8, stream=True)
    finishes = [choice.finish_reason for chunk in stream for choice in chunk.choices]
    assert finishes[-1] == "length"


def test_callers_of_another_format(url: str) -> None:
    """Anthropic's callers are served by it as well."""
    body = {"model": "tiny", "max_tokens": 8, "messages": HELLO}
    request = urllib.request.Request(f"{url}/v1/messages", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        said = json.load(answer)
    assert said["stop_reason"] == "max_tokens"
    assert said["usage"]["output_tokens"] == 8


def test_its_errors_are_told(client: openai.OpenAI) -> None:
    """It refuses a model that it does not have in words of its own, which are passed on."""
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="missing", messages=HELLO, max_tokens=8)
    assert caught.value.status_code == 400
    assert "tiny-missing" in caught.value.message
