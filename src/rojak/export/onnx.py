"""Write a model for onnxruntime: an encoder and a decoder with cache, straight from torch.

    encoder.onnx   mel (batch, mels, frames) → cross_key_i, cross_value_i (batch, heads, positions, size) a layer
    decoder.onnx   tokens (batch, new), past_key_i, past_value_i, cross_key_i, cross_value_i
                   → logits (batch, vocabulary) of the last token, key_i, value_i

One decoder serves the prompt (`past` of length 0) and every later token. Large models keep their weights in a
`.onnx.data` file beside. optimum-onnx, the usual way, cannot be installed with transformers 5.
"""

import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim
from transformers import WhisperForConditionalGeneration

from rojak.errors import MissingExtraError
from rojak.export.plain import copy_front
from rojak.model.whisper import Whisper, encode_audio

DTYPES = ("float32", "int8")
ENCODER_FILE, DECODER_FILE = "encoder.onnx", "decoder.onnx"
OPSET = 20


class _Encoder(nn.Module):
    """The encoder and, since they never change afterwards, the keys and values that the decoder makes of its output."""

    def __init__(self, network: WhisperForConditionalGeneration) -> None:
        super().__init__()
        self.network = network

    def forward(self, mel: torch.Tensor) -> list[torch.Tensor]:
        encoded = encode_audio(self.network, mel)
        outputs = []
        for layer in self.network.model.decoder.layers:
            attention = layer.encoder_attn
            outputs += [_heads(attention, attention.k_proj(encoded)), _heads(attention, attention.v_proj(encoded))]
        return outputs


class _Decoder(nn.Module):
    """Some new tokens through the decoder, with what earlier tokens left behind."""

    def __init__(self, network: WhisperForConditionalGeneration) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: torch.Tensor, past: list[torch.Tensor], cross: list[torch.Tensor]) -> list[torch.Tensor]:
        decoder = self.network.model.decoder
        num_past, num_new = past[0].shape[2], tokens.shape[1]
        positions = torch.arange(num_past, num_past + num_new, device=tokens.device)
        seen = torch.arange(num_past + num_new, device=tokens.device)[None, :] <= positions[:, None]
        hidden = decoder.embed_tokens(tokens) + decoder.embed_positions.weight[positions]
        present = []
        for number, layer in enumerate(decoder.layers):
            normed, attention = layer.self_attn_layer_norm(hidden), layer.self_attn
            key = torch.cat([past[2 * number], _heads(attention, attention.k_proj(normed))], dim=2)
            value = torch.cat([past[2 * number + 1], _heads(attention, attention.v_proj(normed))], dim=2)
            hidden = hidden + _attend(attention, normed, key, value, seen)
            normed, attention = layer.encoder_attn_layer_norm(hidden), layer.encoder_attn
            hidden = hidden + _attend(attention, normed, cross[2 * number], cross[2 * number + 1], None)
            hidden = hidden + layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(hidden))))
            present += [key, value]
        return [self.network.proj_out(decoder.layer_norm(hidden[:, -1])), *present]


def _heads(attention: Any, projected: torch.Tensor) -> torch.Tensor:
    heads = projected.reshape(*projected.shape[:-1], attention.num_heads, attention.head_dim)
    return heads.transpose(1, 2)


def _attend(
    attention: Any, normed: torch.Tensor, key: torch.Tensor, value: torch.Tensor, seen: torch.Tensor | None
) -> torch.Tensor:
    query = _heads(attention, attention.q_proj(normed))
    mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
    return attention.out_proj(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def write_onnx(whisper: Whisper, plain_dir: Path, out_dir: Path, dtype: str) -> None:
    """Export a model; `int8` holds the matrices in 8 bits and computes with activations quantised as they come.

    Args:
        whisper: In float32 on the CPU.
        plain_dir: The same model, written by `write_plain`.
        out_dir: Existing folder to write into.
        dtype: One of `DTYPES`.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(f"onnx needs {error.name}; install it with: pip install 'rojak[onnx]'.") from None
    network = whisper.network.eval()
    num_layers = network.config.decoder_layers
    for module, example, names, path in (
        (_Encoder(network), _encoder_example(network), _encoder_names(num_layers), out_dir / ENCODER_FILE),
        (_Decoder(network), _decoder_example(network), _decoder_names(num_layers), out_dir / DECODER_FILE),
    ):
        _export(module, example, names, path)
        if dtype == "int8":
            _quantize(path)
    shutil.copy(plain_dir / "config.json", out_dir / "config.json")
    copy_front(plain_dir, out_dir)


def _encoder_names(num_layers: int) -> tuple[list[str], list[str]]:
    return ["mel"], [f"cross_{part}_{layer}" for layer in range(num_layers) for part in ("key", "value")]


def _decoder_names(num_layers: int) -> tuple[list[str], list[str]]:
    parts = [f"{part}_{layer}" for layer in range(num_layers) for part in ("key", "value")]
    return ["tokens", *(f"past_{name}" for name in parts), *(f"cross_{name}" for name in parts)], ["logits", *parts]


def _encoder_example(network: WhisperForConditionalGeneration) -> tuple[tuple[Any, ...], Any]:
    batch, positions = Dim("batch"), Dim("positions", min=2, max=network.config.max_source_positions)
    mel = torch.zeros(2, network.config.num_mel_bins, 256)
    return (mel,), ({0: batch, 2: 2 * positions},)


def _decoder_example(network: WhisperForConditionalGeneration) -> tuple[tuple[Any, ...], Any]:
    config = network.config
    heads, size = config.decoder_attention_heads, config.d_model // config.decoder_attention_heads
    batch, new, past, positions = Dim("batch"), Dim("new", max=448), Dim("past", max=448), Dim("positions", max=1500)
    count = 2 * config.decoder_layers
    example = (
        torch.zeros(2, 3, dtype=torch.long),
        [torch.zeros(2, heads, 5, size) for _ in range(count)],
        [torch.zeros(2, heads, 128, size) for _ in range(count)],
    )
    return example, ({0: batch, 1: new}, [{0: batch, 2: past}] * count, [{0: batch, 2: positions}] * count)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' talk of their own deprecations and of optional steps from the user."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _export(
    module: nn.Module, example: tuple[tuple[Any, ...], Any], names: tuple[list[str], list[str]], path: Path
) -> None:
    arguments, shapes = example
    with _quiet():
        torch.onnx.export(
            module.eval(),
            arguments,
            str(path),
            input_names=names[0],
            output_names=names[1],
            dynamic_shapes=shapes,
            dynamo=True,
            opset_version=OPSET,
            external_data=sum(parameter.numel() for parameter in module.parameters()) > 2**27,
            verbose=False,
        )


def _quantize(path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = path.with_suffix(".float.onnx")
    path.rename(whole)
    with _quiet():
        quantize_dynamic(
            whole, path, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul", "Gemm"]
        )
    whole.unlink()
