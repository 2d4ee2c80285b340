"""Write a model for whisper.cpp: one `ggml-….bin` file, by the layout that its loader reads.

    magic, 11 int32 settings              sizes of the model, number format
    mel filters                           int32 mels, int32 bins, float32 values
    vocabulary                            int32 count, then length and bytes of each text token
    tensors                               int32 dimensions, name length, type; sizes innermost first; name; values

The control tokens are not in the file: whisper.cpp knows their ids by OpenAI's vocabulary, so a model with another one
cannot be written. See whisper.cpp `models/convert-pt-to-ggml.py` and `src/whisper.cpp` for the layout, ggml
`ggml-quants.c` for the blocks of q8_0 and q5_0.
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from rojak.errors import InputError
from rojak.export.plain import copy_front
from rojak.model.pieces import token_bytes
from rojak.model.whisper import Whisper

MAGIC = 0x67676D6C
NUM_TEXT_TOKENS = 50257
SMALLEST_VOCABULARY = 51865
"""OpenAI's multilingual models: 50257 text tokens, 7 control tokens, 99 languages or more, 1501 times."""
BLOCK = 32
"""Weights that share one scale."""

TYPES = {"f32": 0, "f16": 1, "q5_0": 6, "q8_0": 8}
"""ggml's numbers for the types of a tensor."""
FILE_TYPES = {"f16": 1, "q8_0": 2007, "q5_0": 2008}
"""ggml's numbers for the type of a file; 2000 is the version of the quantised blocks."""
DTYPES = tuple(FILE_TYPES)

_PARTS = {
    "self_attn.q_proj": "attn.query", "self_attn.k_proj": "attn.key", "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out", "self_attn_layer_norm": "attn_ln",
    "encoder_attn.q_proj": "cross_attn.query", "encoder_attn.k_proj": "cross_attn.key",
    "encoder_attn.v_proj": "cross_attn.value", "encoder_attn.out_proj": "cross_attn.out",
    "encoder_attn_layer_norm": "cross_attn_ln", "fc1": "mlp.0", "fc2": "mlp.2", "final_layer_norm": "mlp_ln",
}  # fmt: skip
_TOPS = {
    "encoder.embed_positions.weight": "encoder.positional_embedding",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.embed_tokens.weight": "decoder.token_embedding.weight",
    "encoder.layer_norm.weight": "encoder.ln_post.weight", "encoder.layer_norm.bias": "encoder.ln_post.bias",
    "decoder.layer_norm.weight": "decoder.ln.weight", "decoder.layer_norm.bias": "decoder.ln.bias",
}  # fmt: skip
_ALWAYS_FLOAT32 = ("conv1.bias", "conv2.bias", "positional_embedding")

Floats = npt.NDArray[np.float32]


def tensor_name(name: str) -> str:
    """Give OpenAI's name, which whisper.cpp uses, of a transformers weight (without its leading `model.`)."""
    if name in _TOPS:
        return _TOPS[name]
    side, rest = name.split(".", 1)
    if not rest.startswith("layers."):
        return name  # the convolutions are called the same
    _, number, part = rest.split(".", 2)
    part, kind = part.rsplit(".", 1)
    return f"{side}.blocks.{number}.{_PARTS[part]}.{kind}"


def quantize_q8_0(values: Floats) -> bytes:
    """Pack rows into blocks of a float16 scale and 32 signed bytes."""
    blocks = values.reshape(-1, BLOCK)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    rounded = np.rint(blocks / np.where(scale == 0, 1, scale)).astype(np.int8)
    return np.concatenate([_half(scale), rounded.view(np.uint8)], axis=1).tobytes()


def quantize_q5_0(values: Floats) -> bytes:
    """Pack rows into blocks of a float16 scale, the 32 fifth bits, and the lower four bits, two weights a byte."""
    blocks = values.reshape(-1, BLOCK)
    furthest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    scale = furthest / -16
    levels = np.clip(np.floor(blocks / np.where(scale == 0, 1, scale) + 16.5), 0, 31).astype(np.uint8)
    half = BLOCK // 2
    low = (levels[:, :half] & 15) | ((levels[:, half:] & 15) << 4)
    high = np.packbits(levels >> 4, axis=1, bitorder="little")
    return np.concatenate([_half(scale), high, low], axis=1).tobytes()


def _half(scale: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    return scale.astype("<f2").view(np.uint8)


def check_vocabulary(whisper: Whisper) -> None:
    """Refuse a model whose tokens are not where whisper.cpp looks for them.

    Raises:
        InputError: Another vocabulary than OpenAI's, or language tags in the text.
    """
    size = whisper.network.config.vocab_size
    if whisper.tokens.end != NUM_TEXT_TOKENS or size < SMALLEST_VOCABULARY:
        raise InputError(
            f"--format ggml: {whisper.name} has a vocabulary of its own ({size} tokens, end-of-text "
            f"{whisper.tokens.end}), and whisper.cpp knows only OpenAI's multilingual one ({SMALLEST_VOCABULARY} "
            f"or more, {NUM_TEXT_TOKENS}); fine-tune one of OpenAI's models, or export ct2 or onnx."
        )
    if whisper.tokens.labelling.language_tags != "none":
        raise InputError(
            f"--format ggml: {whisper.name} writes language tags into its text, and whisper.cpp never lets a model do "
            "that; train with language_tags: none, or export ct2 or onnx."
        )


def write_ggml(whisper: Whisper, plain_dir: Path, out_dir: Path, dtype: str) -> None:
    """Write `ggml-DTYPE.bin`, and beside it what Rojak's own runtime reads tokens by.

    Args:
        whisper: Model with OpenAI's vocabulary.
        plain_dir: The same model, written by `write_plain`.
        out_dir: Existing folder to write into.
        dtype: One of `DTYPES`.

    Raises:
        InputError: A vocabulary or a width that whisper.cpp cannot have.
    """
    check_vocabulary(whisper)
    config = whisper.network.config
    if (config.encoder_ffn_dim, config.decoder_ffn_dim) != (4 * config.d_model, 4 * config.d_model):
        raise InputError(
            f"--format ggml: {whisper.name} has feed-forward layers of {config.encoder_ffn_dim} and "
            f"{config.decoder_ffn_dim}, and whisper.cpp knows only 4 times the width ({4 * config.d_model}); export "
            "ct2 or onnx."
        )
    if dtype != "f16" and config.d_model % BLOCK:
        raise InputError(f"--dtype {dtype}: the model's width {config.d_model} is no multiple of {BLOCK}; use f16.")
    with (out_dir / f"ggml-{dtype}.bin").open("wb") as file:
        settings = (
            config.vocab_size, config.max_source_positions, config.d_model, config.encoder_attention_heads,
            config.encoder_layers, config.max_target_positions, config.d_model, config.decoder_attention_heads,
            config.decoder_layers, config.num_mel_bins, FILE_TYPES[dtype],
        )  # fmt: skip
        file.write(struct.pack("<I11i", MAGIC, *settings))
        filters = np.ascontiguousarray(whisper.extractor.mel_filters.T, dtype="<f4")
        file.write(struct.pack("<2i", *filters.shape) + filters.tobytes())
        _write_vocabulary(file, whisper)
        for name, tensor in whisper.network.model.state_dict().items():
            _write_tensor(file, tensor_name(name), tensor.float().cpu().numpy(), dtype)
    copy_front(plain_dir, out_dir)


def _write_vocabulary(file: BinaryIO, whisper: Whisper) -> None:
    file.write(struct.pack("<i", NUM_TEXT_TOKENS))
    for token in range(NUM_TEXT_TOKENS):
        piece = token_bytes(whisper.tokens, token)
        file.write(struct.pack("<i", len(piece)) + piece)


def _write_tensor(file: BinaryIO, name: str, values: Floats, dtype: str) -> None:
    if name.endswith(("conv1.bias", "conv2.bias")):
        values = values[:, None]  # the loader adds it to (frames, channels)
    kind = _tensor_type(name, values, dtype)
    file.write(struct.pack("<3i", values.ndim, len(name), TYPES[kind]))
    file.write(struct.pack(f"<{values.ndim}i", *reversed(values.shape)) + name.encode())
    pack = {
        "f32": lambda: values.astype("<f4").tobytes(),
        "f16": lambda: values.astype("<f2").tobytes(),
        "q8_0": lambda: quantize_q8_0(values),
        "q5_0": lambda: quantize_q5_0(values),
    }
    file.write(pack[kind]())


def _tensor_type(name: str, values: Floats, dtype: str) -> str:
    """Matrices take the file's type; biases, norms and positions stay float32, convolutions float16."""
    if values.ndim == 1 or name.endswith(_ALWAYS_FLOAT32):
        return "f32"
    return dtype if values.ndim == 2 else "f16"
