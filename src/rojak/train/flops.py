"""Work of a training step in floating-point operations, and how much of a known GPU's peak it reaches.

Takes shapes, asks for the GPU's name; reads no files. A multiplication with an addition counts as two.
"""

import torch
from transformers import WhisperConfig

PEAK_TFLOPS = {
    "B200": 2250.0,
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
    "A10": 125.0,
    "RTX 4090": 165.0,
    "RTX 3090": 71.0,
    "V100": 125.0,
    "T4": 65.0,
}
"""Dense 16-bit tensor-core peaks from the makers' data sheets, by a part of the name that CUDA gives."""


def peak_flops(device: torch.device, count: int = 1) -> float | None:
    """Give the peak of `count` GPUs of a kind in operations a second, or None for one that is not known."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((1e12 * peak * count for part, peak in PEAK_TFLOPS.items() if part in name), None)


def step_flops(
    shape: WhisperConfig, windows: int, positions: int, tokens: int, *, frozen: bool, encoder_learns: bool = True
) -> float:
    """Count the matrix products of a training step on windows of like length; adapters' own share is left out.

    Args:
        shape: Of the model.
        windows: Windows of the micro-batch.
        positions: Encoder positions of each, 50 a second.
        tokens: Decoder positions of each.
        frozen: Whether only an adapter is trained: weights then cost no gradient of their own, 4 operations a weight
            and position instead of 6. Recomputation under checkpointing is no useful work and not counted.
        encoder_learns: Whether anything in the encoder is trained; if not, it has no backward pass.
    """
    dim, hidden = shape.d_model, shape.encoder_ffn_dim
    passes = 2 if frozen else 3
    layer = 4 * dim * dim + 2 * dim * hidden
    encoder = shape.encoder_layers * (2 * positions * layer + 4 * positions * positions * dim)
    convolutions = 2 * positions * dim * 3 * (2 * shape.num_mel_bins + dim)
    cross = 2 * (2 * positions + 2 * tokens) * dim * dim + 4 * tokens * positions * dim
    own = 2 * tokens * (4 * dim * dim + 2 * dim * shape.decoder_ffn_dim) + 4 * tokens * tokens * dim
    decoder = shape.decoder_layers * (cross + own)
    output = 2 * tokens * dim * shape.vocab_size
    encoder_passes = passes if encoder_learns else 1
    return float(windows * (encoder_passes * (encoder + convolutions) + passes * (decoder + output)))
