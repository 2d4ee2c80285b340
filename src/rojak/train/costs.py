"""What a micro-batch costs in operations and memory, from the shapes alone.

Takes a model's shape, a configuration and a micro-batch's size; gives numbers. The formulas are checked against counted
parameters, counted saved tensors and measured steps (`benchmarks/estimate.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transformers import WhisperConfig

from rojak.config.schema import TrainConfig
from rojak.features.windows import Window
from rojak.model.shapes import (
    Half,
    adapted_layers,
    adapted_names,
    linear_parameters,
    total_parameters,
    trained_parameters,
)
from rojak.train.flops import step_flops

POSITIONS_PER_S = 50
PROMPT_TOKENS = 5
"""Start, language, task, no-timestamps, end."""
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Of a weight in NF4 with double quantisation (Dettmers et al., 2023, section 3)."""
CONTEXT_BYTES = 0.8e9
"""What a CUDA process holds before it computes anything; 0.5 to 1 GB, by driver and card."""
ADAM_BYTES = 4 + 4 + 8
"""Of a trained parameter: itself, its gradient and AdamW's two moments, all float32."""


@dataclass(frozen=True)
class Load:
    """A micro-batch's size: windows, encoder positions and decoder tokens of each, label tokens of all."""

    windows: int
    positions: int
    tokens: int
    labels: int
    speech_s: float = 0.0

    @classmethod
    def of(cls, batch: Sequence[Window]) -> "Load":
        """Read the size off planned windows."""
        tokens = [
            PROMPT_TOKENS + sum(clip.num_tokens + (2 if window.timestamps else 0) for clip in window.clips)
            for window in batch
        ]
        positions = round(max(window.length_s for window in batch) * POSITIONS_PER_S)
        return cls(len(batch), positions, max(tokens), sum(tokens), sum(window.speech_s for window in batch))

    def shrunk(self, share: float) -> "Load":
        """Give a micro-batch of only a share of the windows, at least one."""
        windows = max(1, int(self.windows * share))
        return replace(self, windows=windows, labels=self.labels * windows // self.windows)


def load_flops(shape: WhisperConfig, config: TrainConfig, load: Load) -> float:
    """Count the operations of forward and backward pass, the adapter's own and recomputation included."""
    frozen = config.adapter != "none"
    sizes = load.windows, load.positions, load.tokens
    flops = step_flops(shape, *sizes, frozen=frozen, encoder_learns=config.encoder_learns)
    if frozen:
        flops += (
            6
            * load.windows
            * sum(
                config.lora_r * (layer.inputs + layer.outputs) * (load.positions if layer.positions else load.tokens)
                for layer in adapted_layers(shape, config)
            )
        )
    if config.gradient_checkpointing == "on":
        flops *= 1.5 if frozen else 4 / 3
    return flops


def activation_bytes(shape: WhisperConfig, config: TrainConfig, load: Load, *, number_bytes: int) -> float:
    """Estimate the memory that the forward pass keeps for the backward pass.

    Attention is fused, as on GPUs, and keeps no matrix of weights. Counted are, for each layer: inputs of the norms
    (float32 under autocast), queries, keys, values and the attention's output, the input of GELU, and for each adapted
    layer its input and, with dropout, the mask.

    Args:
        shape: Of the model.
        config: Adapter and checkpointing.
        load: Size of the micro-batch.
        number_bytes: 2 in 16 bits, 4 in 32.
    """
    width, hidden = int(shape.d_model), int(shape.encoder_ffn_dim)
    frozen = config.adapter != "none"
    at_input = number_bytes + (1 if config.lora_dropout and frozen else 0)

    def inputs(half: Half, names: Sequence[str], size: int) -> int:
        # With every weight trained, layers that share an input keep it once; adapters each make a copy of their own.
        if not frozen:
            return size * number_bytes
        return sum(size * at_input for name in names if name in adapted_names(config, half))

    def self_attention_and_forward(half: Half) -> int:
        attention = inputs(half, ("q_proj", "k_proj", "v_proj"), width) + inputs(half, ("out_proj",), width)
        forward = inputs(half, ("fc1",), width) + inputs(half, ("fc2",), hidden)
        return attention + forward + (4 * width + hidden) * number_bytes

    cross_tokens = inputs("decoder", ("q_proj",), width) + inputs("decoder", ("out_proj",), width)
    cross_positions = inputs("decoder", ("k_proj", "v_proj"), width) + 2 * width * number_bytes
    decoder_layer = self_attention_and_forward("decoder") + cross_tokens + 2 * width * number_bytes + 3 * width * 4
    decoder = load.tokens * decoder_layer + load.positions * cross_positions
    encoder, encoder_layers = 0, 0
    if config.encoder_learns:
        encoder = load.positions * (self_attention_and_forward("encoder") + 2 * width * 4)
        encoder_layers = shape.encoder_layers
    kept = load.windows * (encoder_layers * encoder + shape.decoder_layers * decoder)
    if config.gradient_checkpointing == "on":
        borders = width * number_bytes * (encoder_layers * load.positions + shape.decoder_layers * load.tokens)
        kept = load.windows * (borders + max(encoder, decoder))
    # Logits, the same in float32, and their gradient.
    return float(kept + load.labels * shape.vocab_size * (number_bytes + 8.0))


def static_bytes(shape: WhisperConfig, config: TrainConfig, *, number_bytes: int) -> float:
    """Give what weights, gradients and optimiser take, whatever the batch."""
    total, linear, trained = total_parameters(shape), linear_parameters(shape), trained_parameters(shape, config)
    if config.adapter == "none":
        # Autocast keeps a copy of the weights in 16 bits over the step.
        return trained * ADAM_BYTES + (total * number_bytes if number_bytes < 4 else 0)
    frozen = linear * NF4_BYTES + (total - linear) * number_bytes if config.use_4bit else total * number_bytes
    return frozen + trained * ADAM_BYTES


def peak_bytes(shape: WhisperConfig, config: TrainConfig, load: Load, *, number_bytes: int = 2) -> float:
    """Give the peak of a GPU's memory when `load` is the largest micro-batch."""
    kept = activation_bytes(shape, config, load, number_bytes=number_bytes)
    return CONTEXT_BYTES + static_bytes(shape, config, number_bytes=number_bytes) + kept
