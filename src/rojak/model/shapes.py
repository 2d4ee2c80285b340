"""The sizes in which Whisper comes, known without a network, and how many numbers such a model holds.

Reads the `config.json` of model folders; downloads nothing.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from transformers import WhisperConfig

from rojak.config.schema import TrainConfig
from rojak.errors import InputError
from rojak.model.names import MICRO_NAME, model_path

SIZES = {
    "tiny": (80, 384, 4, 4, 6, 51865),
    "base": (80, 512, 6, 6, 8, 51865),
    "small": (80, 768, 12, 12, 12, 51865),
    "medium": (80, 1024, 24, 24, 16, 51865),
    "large": (80, 1280, 32, 32, 20, 51865),
    "large-v2": (80, 1280, 32, 32, 20, 51865),
    "large-v3": (128, 1280, 32, 32, 20, 51866),
    "large-v3-turbo": (128, 1280, 32, 4, 20, 51866),
}
"""Mel bins, width, encoder layers, decoder layers, heads and vocabulary of OpenAI's models; see their `config.json`."""


def whisper_shape(name: str) -> WhisperConfig:
    """Give the shape of a model: from its folder, or for one of OpenAI's sizes (under any owner's name) from memory.

    Raises:
        InputError: It is neither.
    """
    path = Path(model_path(name))
    if (path / "config.json").is_file():
        config = WhisperConfig.from_pretrained(path)
        if config.model_type != "whisper":
            raise InputError(f"{name} is a {config.model_type} model; Rojak works with Whisper models only.")
        return config
    size = name.rsplit("/", 1)[-1].removeprefix("whisper-").removesuffix(".en")
    if size not in SIZES:
        known = ", ".join(f"openai/whisper-{one}" for one in SIZES)
        raise InputError(
            f"The shape of {name!r} is not known without loading it; give {MICRO_NAME}, a model folder, or one of "
            f"{known}."
        )
    mels, width, encoder_layers, decoder_layers, heads, vocabulary = SIZES[size]
    return WhisperConfig(
        num_mel_bins=mels,
        d_model=width,
        encoder_layers=encoder_layers,
        decoder_layers=decoder_layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        vocab_size=vocabulary - (1 if name.endswith(".en") else 0),
    )


Half = Literal["encoder", "decoder"]


class Linear(NamedTuple):
    """A linear layer: `half` is the part of the model it is in, `positions` whether it runs over encoder positions."""

    name: str
    inputs: int
    outputs: int
    half: Half
    positions: bool

    @property
    def weights(self) -> int:
        """How many weights, the bias aside."""
        return self.inputs * self.outputs

    @property
    def parameters(self) -> int:
        """Weights and bias; k_proj alone has none."""
        return self.weights + (self.outputs if self.name != "k_proj" else 0)


def linear_layers(shape: WhisperConfig) -> Iterable[Linear]:
    """Give every linear layer inside encoder and decoder layers."""
    width = shape.d_model
    attention = ("q_proj", "k_proj", "v_proj", "out_proj")
    for _ in range(shape.encoder_layers):
        yield from (Linear(name, width, width, "encoder", True) for name in attention)
        yield Linear("fc1", width, shape.encoder_ffn_dim, "encoder", True)
        yield Linear("fc2", shape.encoder_ffn_dim, width, "encoder", True)
    for _ in range(shape.decoder_layers):
        yield from (Linear(name, width, width, "decoder", False) for name in attention)
        # Cross-attention makes its keys and values from the encoder's output.
        yield from (Linear(name, width, width, "decoder", name in ("k_proj", "v_proj")) for name in attention)
        yield Linear("fc1", width, shape.decoder_ffn_dim, "decoder", False)
        yield Linear("fc2", shape.decoder_ffn_dim, width, "decoder", False)


def adapted_names(config: TrainConfig, half: Half) -> Sequence[str]:
    """Give the names of the layers that get an adapter in a half of the model."""
    return config.lora_target_modules if config.lora_scope in ("all", half) else ()


def adapted_layers(shape: WhisperConfig, config: TrainConfig) -> Iterable[Linear]:
    """Give the linear layers that get an adapter."""
    return (layer for layer in linear_layers(shape) if layer.name in adapted_names(config, layer.half))


def linear_parameters(shape: WhisperConfig) -> int:
    """Count the weights of those layers: what 4-bit quantisation makes small."""
    return sum(layer.weights for layer in linear_layers(shape))


def total_parameters(shape: WhisperConfig) -> int:
    """Count all parameters; the output layer is tied to the embedding and counted once."""
    width: int = shape.d_model
    linear = sum(layer.parameters for layer in linear_layers(shape) if layer.half == "decoder")
    # A decoder layer has three norms, and one stands behind the last.
    norms = 2 * width * int(3 * shape.decoder_layers + 1)
    positions = width * int(shape.max_source_positions + shape.max_target_positions)
    embedding = width * int(shape.vocab_size)
    return _encoder_parameters(shape) + linear + norms + positions + embedding


def _encoder_parameters(shape: WhisperConfig) -> int:
    """Count the encoder's parameters but for the sinusoids."""
    width = int(shape.d_model)
    linear = sum(layer.parameters for layer in linear_layers(shape) if layer.half == "encoder")
    norms = 2 * width * int(2 * shape.encoder_layers + 1)
    convolutions = 3 * width * (int(shape.num_mel_bins) + width) + 2 * width
    return linear + norms + convolutions


def trained_parameters(shape: WhisperConfig, config: TrainConfig) -> int:
    """Count what a configuration trains: the adapter's two factors at each target, or everything but the sinusoids."""
    if config.adapter != "none":
        return sum(config.lora_r * (layer.inputs + layer.outputs) for layer in adapted_layers(shape, config))
    trained = total_parameters(shape) - int(shape.d_model * shape.max_source_positions)
    return trained - _encoder_parameters(shape) if config.freeze_encoder else trained
