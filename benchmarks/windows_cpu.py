"""Measure training steps on this CPU: the windows modes beside padding to 30 s, and plain beside fused attention.

    python benchmarks/windows_cpu.py

Reads nothing; prints Markdown. Random clips of 2.5 to 6 s, a Whisper of rojak-micro's shape, full fine-tuning steps.
"""

import statistics
import time
from collections.abc import Sequence

import numpy as np
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from rojak.config.schema import WindowsConfig
from rojak.features.windows import Clip, Window, plan_step
from rojak.model.whisper import encode_audio, token_losses
from rojak.train.devices import choose_compute

NUM_CLIPS = 32
TOKENS_PER_CLIP = 15
STEPS = 5


def build_model() -> WhisperForConditionalGeneration:
    """Build a model of the embedded one's shape with random weights."""
    size = {"d_model": 192, "encoder_layers": 4, "decoder_layers": 2, "encoder_ffn_dim": 768, "decoder_ffn_dim": 768}
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    return WhisperForConditionalGeneration(WhisperConfig(vocab_size=3011, pad_token_id=0, **size, **heads))


def seconds_a_step(mode: str, attention: str) -> float:
    """Take the median of a few steps over the same clips."""
    compute, rng = choose_compute("auto"), np.random.default_rng(0)
    clips = [Clip(i, float(d), "a", TOKENS_PER_CLIP) for i, d in enumerate(rng.uniform(2.5, 6.0, NUM_CLIPS))]
    plan = plan_step(clips, WindowsConfig.model_validate({"mode": mode}), 240.0, 440, rng)
    model = build_model()
    model.set_attn_implementation(attention)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    times = []
    for _ in range(STEPS + 1):
        started = time.perf_counter()
        for windows in plan:
            loss = micro_batch_loss(model, windows, compute.autocast())
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def micro_batch_loss(
    model: WhisperForConditionalGeneration, windows: Sequence[Window], autocast: torch.autocast
) -> torch.Tensor:
    """Run the forward pass of one micro-batch on made features and tokens."""
    frames = round(max(window.length_s for window in windows) * 50) * 2
    tokens = torch.randint(1400, (len(windows), TOKENS_PER_CLIP * max(len(window.clips) for window in windows)))
    with autocast:
        encoded = encode_audio(model, torch.randn(len(windows), 80, frames))
        return token_losses(model, encoded, tokens, tokens).mean()


def main() -> None:
    """Print seconds a step and the ratio to padding."""
    torch.manual_seed(0)
    padded = seconds_a_step("pad", "eager")
    print("| windows | attention | s a step of 32 clips | times faster than pad |\n|---|---|---|---|")
    print(f"| pad | eager | {padded:.2f} | 1.0 |", flush=True)
    for mode, attention in [
        ("pad", "sdpa"),
        ("trim", "eager"),
        ("trim", "sdpa"),
        ("pack", "eager"),
        ("mixed", "eager"),
    ]:
        seconds = seconds_a_step(mode, attention)
        print(f"| {mode} | {attention} | {seconds:.2f} | {padded / seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
