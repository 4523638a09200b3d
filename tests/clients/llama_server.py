"""A genuine llama.cpp server with a model of random weights: ``python llama_server.py DIRECTORY``.

With ``--embeddings`` it makes vectors, and nothing else.

The model is made on the spot: a llama of two layers and 45 thousand weights, and a vocabulary of
all bytes and the printable ASCII characters, so that it can say anything and means nothing. Prints
its base URL when it listens and serves until its standard input closes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import numpy as np
import xllamacpp  # type: ignore[import-untyped]  # ships no types

WIDTH, HEADS, LAYERS, HIDDEN, CONTEXT = 32, 2, 2, 64, 4096
SPACE = "\u2581"
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


def vocabulary() -> list[tuple[str, gguf.TokenType]]:
    """Return the tokens: three special ones, every byte, every printable character."""
    kinds = gguf.TokenType
    special = [("<unk>", kinds.UNKNOWN), ("<s>", kinds.CONTROL), ("</s>", kinds.CONTROL)]
    characters = [SPACE, *map(chr, range(33, 127))]
    return [
        *special,
        *((f"<0x{byte:02X}>", kinds.BYTE) for byte in range(256)),
        *((character, kinds.NORMAL) for character in characters),
    ]


def write_model(path: Path) -> None:
    """Write the model in GGUF."""
    tokens = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([text.encode() for text, _ in tokens])
    writer.add_token_scores([-float(number) for number in range(len(tokens))])
    writer.add_token_types([kind for _, kind in tokens])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    _add_weights(writer, len(tokens))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_weights(writer: gguf.GGUFWriter, tokens: int) -> None:
    rng = np.random.default_rng(1)
    shapes: dict[str, tuple[int, ...]]
    shapes = {"token_embd": (tokens, WIDTH), "output": (tokens, WIDTH), "output_norm": (WIDTH,)}
    for layer in range(LAYERS):
        parts: dict[str, tuple[int, ...]]
        parts = {f"attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")}
        parts |= {"ffn_gate": (HIDDEN, WIDTH), "ffn_up": (HIDDEN, WIDTH)}
        parts |= {"ffn_down": (WIDTH, HIDDEN), "attn_norm": (WIDTH,), "ffn_norm": (WIDTH,)}
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in parts.items()}
    for name, shape in shapes.items():
        is_norm = name.endswith("norm")
        weights = np.ones(shape) if is_norm else rng.standard_normal(shape) * 0.1
        writer.add_tensor(f"{name}.weight", weights.astype(np.float32))


def main() -> None:
    """Make the model, serve it."""
    path = Path(sys.argv[1]) / "tiny.gguf"
    write_model(path)
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = CONTEXT
    params.n_parallel = 2
    params.cpuparams.n_threads = 1
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.warmup = False
    if "--embeddings" in sys.argv:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = xllamacpp.Server(params)
    sys.stdout.write(server.listening_address + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
