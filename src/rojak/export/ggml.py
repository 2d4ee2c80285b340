"""Write a model for whisper.cpp: one `ggml-….bin` file, by the layout that its loader reads.

    magic, 11 int32 settings              sizes of the model, number format
    mel filters                           int32 mels, int32 bins, float32 values
    vocabulary                            int32 count, then length and bytes of each text token
    tensors                               int32 dimensions, name length, type; sizes innermost first; name; values

The control tokens are not in the file: whisper.cpp knows their ids by OpenAI's vocabulary, in whose numbering every
model is written (`openai.py`). See whisper.cpp `models/convert-pt-to-ggml.py` and `src/whisper.cpp` for the layout,
ggml `ggml-quants.c` for the blocks of q8_0 and q5_0.
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from rojak.errors import InputError
from rojak.export.openai import NUM_TEXT_TOKENS, named_weights, require_numbering
from rojak.export.plain import copy_front
from rojak.model.pieces import token_bytes
from rojak.model.whisper import Whisper

MAGIC = 0x67676D6C
BLOCK = 32
"""Weights that share one scale."""

TYPES = {"f32": 0, "f16": 1, "q5_0": 6, "q8_0": 8}
"""ggml's numbers for the types of a tensor."""
FILE_TYPES = {"f16": 1, "q8_0": 2007, "q5_0": 2008}
"""ggml's numbers for the type of a file; 2000 is the version of the quantised blocks."""
DTYPES = tuple(FILE_TYPES)

_ALWAYS_FLOAT32 = ("conv1.bias", "conv2.bias", "positional_embedding")

Floats = npt.NDArray[np.float32]


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


def check_shape(whisper: Whisper, dtype: str) -> None:
    """Refuse a model that whisper.cpp cannot hold.

    Raises:
        InputError: Another order of tokens than OpenAI's, language tags, or a width that it cannot have.
    """
    require_numbering(whisper, "--format ggml")
    config = whisper.network.config
    if (config.encoder_ffn_dim, config.decoder_ffn_dim) != (4 * config.d_model, 4 * config.d_model):
        raise InputError(
            f"--format ggml: {whisper.name} has feed-forward layers of {config.encoder_ffn_dim} and "
            f"{config.decoder_ffn_dim}, and whisper.cpp knows only 4 times the width ({4 * config.d_model}); export "
            "ct2 or onnx."
        )
    if dtype != "f16" and config.d_model % BLOCK:
        raise InputError(f"--dtype {dtype}: the model's width {config.d_model} is no multiple of {BLOCK}; use f16.")


def write_ggml(whisper: Whisper, plain_dir: Path, out_dir: Path, dtype: str) -> None:
    """Write `ggml-DTYPE.bin`, and beside it what Rojak's own runtime reads tokens by.

    Args:
        whisper: Model that `check_shape` lets through.
        plain_dir: The same model, written by `write_plain`.
        out_dir: Existing folder to write into.
        dtype: One of `DTYPES`.
    """
    config = whisper.network.config
    numbering = require_numbering(whisper, "--format ggml")
    with (out_dir / f"ggml-{dtype}.bin").open("wb") as file:
        settings = (
            numbering.size, config.max_source_positions, config.d_model, config.encoder_attention_heads,
            config.encoder_layers, config.max_target_positions, config.d_model, config.decoder_attention_heads,
            config.decoder_layers, config.num_mel_bins, FILE_TYPES[dtype],
        )  # fmt: skip
        file.write(struct.pack("<I11i", MAGIC, *settings))
        filters = np.ascontiguousarray(whisper.extractor.mel_filters.T, dtype="<f4")
        file.write(struct.pack("<2i", *filters.shape) + filters.tobytes())
        _write_vocabulary(file, whisper)
        for name, tensor in named_weights(whisper, numbering).items():
            _write_tensor(file, name, tensor.float().cpu().numpy(), dtype)
    copy_front(plain_dir, out_dir)


def _write_vocabulary(file: BinaryIO, whisper: Whisper) -> None:
    file.write(struct.pack("<i", NUM_TEXT_TOKENS))
    for token in range(NUM_TEXT_TOKENS):
        is_own = token < whisper.tokens.end
        piece = token_bytes(whisper.tokens, token) if is_own else f"<|unused_{token}|>".encode()
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
