"""The model to be trained, and what it takes: adapters, precision, memory, disk.

Reads a model folder or hub id; asks the machine how much memory and disk are free; writes nothing.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn
from transformers import WhisperConfig

from rojak.config.schema import TrainConfig
from rojak.errors import InputError
from rojak.model.adapters import add_lora
from rojak.model.particle_tokens import prepare_labelling
from rojak.model.whisper import Whisper, load_whisper
from rojak.train.devices import Compute

BYTES_PER_POSITION = 34
"""Activations that a 16-bit layer keeps, per position and model dimension (Korthikanti et al., 2022, eq. 1), with fused
attention; in 32 bits twice as much."""


def build_model(config: TrainConfig, compute: Compute, max_batch_s: float) -> tuple[Whisper, nn.Module]:
    """Load the base and put the adapter on; frozen weights are held in the compute format, trained ones in float32.

    Args:
        config: Names the model and its adapter.
        compute: Where and in which format.
        max_batch_s: Padded audio seconds of the largest micro-batch, by which checkpointing is decided.
    """
    torch.manual_seed(config.seed)
    if config.backend == "unsloth":
        from rojak.model.unsloth import load_with_unsloth

        return load_with_unsloth(config, compute.dtype)
    frozen = config.adapter != "none"
    whisper = load_whisper(
        config.model_name,
        random_weights=config.init == "random",
        quantize_4bit=config.use_4bit,
        dtype=compute.dtype if frozen else torch.float32,
    )
    if not config.use_4bit:
        whisper.network.to(compute.device)
    # Fused attention is made for GPUs; on a CPU its backward pass costs more than it saves (benchmarks/windows_cpu.py).
    whisper.network.set_attn_implementation("eager" if compute.device.type == "cpu" else "sdpa")
    if wants_checkpointing(config, whisper.network.config, compute, max_batch_s):
        whisper.network.gradient_checkpointing_enable({"use_reentrant": False})
    whisper = prepare_labelling(whisper, config)
    model = add_lora(whisper, config) if frozen else whisper.network
    if config.freeze_encoder:
        whisper.network.model.encoder.requires_grad_(False)
    return whisper, model


def wants_checkpointing(config: TrainConfig, shape: WhisperConfig, compute: Compute, max_batch_s: float) -> bool:
    """Decide whether activations are recomputed: as told, or when they would not fit the GPU's free memory."""
    if config.gradient_checkpointing != "auto":
        return config.gradient_checkpointing == "on"
    if compute.device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(compute.device)
    return activation_bytes(shape, max_batch_s, compute.precision == "fp32") > 0.8 * free


def activation_bytes(shape: WhisperConfig, max_batch_s: float, in_32_bits: bool) -> int:
    """Estimate what the encoder and decoder keep for the backward pass over a micro-batch.

    The decoder is counted with one position for five of the encoder's: ten tokens a second.
    """
    positions = max_batch_s * 50
    layer_positions: float = shape.encoder_layers * positions + shape.decoder_layers * positions / 5
    return round(layer_positions * int(shape.d_model) * BYTES_PER_POSITION * (2 if in_32_bits else 1))


def memory_line(model: nn.Module, config: TrainConfig) -> str:
    """Say what weights, gradients and optimiser take in memory; activations come on top."""
    parameters = list(model.parameters())
    weights = _num_bytes(parameters)
    trained = [p for p in parameters if p.requires_grad]
    gradients = _num_bytes(trained)
    optimizer = sum(optimizer_bytes(p, config.optimizer.name) for p in trained)
    parts = (("weights", weights), ("gradients", gradients), ("optimiser", optimizer))
    return " + ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in parts)


MIN_8BIT_ELEMENTS = 4096
"""bitsandbytes holds the state of smaller tensors in 32 bits."""
BLOCK_8BIT = 256
"""Numbers that share one float32 scale."""


def optimizer_bytes(parameter: nn.Parameter, name: str) -> int:
    """Give the bytes of AdamW's two moments for a parameter."""
    count = parameter.numel()
    if name == "adamw_8bit" and count >= MIN_8BIT_ELEMENTS:
        return 2 * (count + 4 * -(-count // BLOCK_8BIT))
    return 2 * 4 * count


def check_disk(run: Path, model: nn.Module, config: TrainConfig) -> None:
    """Refuse to begin a run whose checkpoints the disk cannot hold.

    Raises:
        InputError: Says what is needed and what is free.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    saved = trained if config.adapter != "none" else list(model.parameters())
    one = _num_bytes(saved) + sum(optimizer_bytes(p, config.optimizer.name) for p in trained)
    # The kept ones, the newest, the one being written; best/ twice while it is replaced.
    need = one * (config.validation.keep_best + 2) + 2 * _num_bytes(saved)
    have = sum(p.stat().st_size for p in run.rglob("*") if p.is_file())
    free = shutil.disk_usage(run).free
    if need - have > free:
        raise InputError(
            f"The checkpoints of this run need up to {need / 1e9:.2f} GB and {run} has {free / 1e9:.2f} GB free; "
            "free some space, choose another output_dir, or lower validation.keep_best."
        )


def _num_bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
