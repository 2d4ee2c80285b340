"""Measure LoRA and QLoRA training of Whisper large-v3's shape: speed, use of the GPU, memory, waiting for audio.

    python benchmarks/gpu_large_v3.py                 # on a GPU: large-v3, random weights
    python benchmarks/gpu_large_v3.py --size tiny     # on a CPU, to see that the script works

Makes synthetic speech in a temporary folder and runs `rojak train` on it in packed windows; prints Markdown.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.data.prepare import prepare
from rojak.data.synthesize import synthesize
from rojak.model.micro import build_tokenizer
from rojak.model.whisper import SpeechTokens, Whisper, save_whisper
from rojak.runs import read_jsonl
from rojak.train.loop import train

SHAPES = {"large-v3": (1280, 32, 20, 128, 51_866), "tiny": (64, 2, 2, 80, 2_100)}
WARM_UP = 2
VARIANTS: dict[str, dict[str, Any]] = {
    "LoRA r=32": {"lora_r": 32, "lora_alpha": 64},
    "LoRA r=64": {"lora_r": 64, "lora_alpha": 128},
    "QLoRA r=32": {"lora_r": 32, "lora_alpha": 64, "use_4bit": True},
}


def main() -> None:
    """Run each variant for a few steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    on_gpu = torch.cuda.is_available()
    parser.add_argument("--size", choices=SHAPES, default="large-v3" if on_gpu else "tiny")
    parser.add_argument("--steps", type=int, default=12 if on_gpu else 4)
    parser.add_argument("--windows", type=int, default=4, help="Packed 30-s windows of a micro-batch.")
    parser.add_argument("--accumulation", type=int, default=8 if on_gpu else 2)
    parser.add_argument("--modes", nargs="+", default=["pack"])
    arguments = parser.parse_args()
    device = torch.cuda.get_device_name() if on_gpu else f"{os.cpu_count()} CPU cores"
    print(f"Whisper {arguments.size} shape, random weights; {device}.\n")
    print("| variant | windows | audio-s/s | windows/s | FLOPs used | peak memory, GiB | waiting for audio |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        synthesize(work / "corpus", 2.0 if on_gpu else 0.06, 5, show_progress=False)
        prepare(work / "corpus", work / "data")
        make_model(work / "model", work / "data", arguments.size)
        for mode in arguments.modes:
            for name in VARIANTS:
                print(measure(work, name, mode, arguments), flush=True)


def make_model(folder: Path, data_dir: Path, size: str) -> None:
    """Write a Whisper of the given shape with random weights."""
    tokens = SpeechTokens.of(build_tokenizer([u.text for u in Dataset(data_dir, ("train",)).utterances], 400))
    dim, layers, heads, mels, vocabulary = SHAPES[size]
    shape = {"d_model": dim, "encoder_layers": layers, "decoder_layers": layers, "encoder_ffn_dim": 4 * dim}
    shape |= {"decoder_ffn_dim": 4 * dim, "encoder_attention_heads": heads, "decoder_attention_heads": heads}
    ends = {"bos_token_id": tokens.end, "eos_token_id": tokens.end, "pad_token_id": tokens.end}
    config = WhisperConfig(
        vocab_size=vocabulary, num_mel_bins=mels, decoder_start_token_id=tokens.start, **shape, **ends
    )
    network = WhisperForConditionalGeneration(config).to(torch.float16)
    network.generation_config.suppress_tokens = network.generation_config.begin_suppress_tokens = None
    save_whisper(Whisper(size, network, tokens, WhisperFeatureExtractor(feature_size=mels)), folder)


def measure(work: Path, name: str, mode: str, arguments: argparse.Namespace) -> str:
    """Train a few steps; give a row of the table, the first steps left out."""
    run = work / f"{name} {mode}"
    batch_s = 30.0 * arguments.windows
    settings = {
        "model_name": str(work / "model"),
        "dataset_path": str(work / "data"),
        "output_dir": str(run),
        # About seven clips fill a window.
        "batch_size": 7 * arguments.windows,
        "gradient_accumulation_steps": arguments.accumulation,
        "windows": {"mode": mode, "max_batch_seconds": batch_s},
        "stages": [{"name": "all", "max_steps": arguments.steps}],
        "validation": {"every_steps": arguments.steps, "max_utterances": 1, "max_new_tokens": 1},
        "loader_workers": min(16, (os.cpu_count() or 1) - 1) if torch.cuda.is_available() else 0,
        "log_every_steps": 1,
        "tensorboard": False,
        **VARIANTS[name],
    }
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    train(TrainConfig.model_validate(settings))
    whole_s = time.perf_counter() - started
    rows = [row for row in read_jsonl(run / "log.jsonl") if row["event"] == "train"][WARM_UP:]
    seconds, audio_s = sum(row["step_s"] for row in rows), sum(row["audio_s"] for row in rows)
    padded_s = sum(row["audio_s"] / (1 - row["padding_share"]) for row in rows)
    used = [row["flops_utilisation"] for row in rows if "flops_utilisation" in row]
    share = f"{sum(used) / len(used):.1%}" if used else "peak not known"
    waited = sum(row["wait_s"] for row in rows) / seconds
    assert whole_s >= seconds
    return (
        f"| {name} | {mode} | {audio_s / seconds:.1f} | {padded_s / 30 / seconds:.2f} | {share} | "
        f"{rows[-1]['memory_gib']:.2f} | {waited:.1%} |"
    )


if __name__ == "__main__":
    main()
