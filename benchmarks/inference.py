"""Measure inference: our exports beside faster-whisper, transformers and, where installed, openai-whisper.

    python benchmarks/inference.py [--shape tiny|base|small] [--out DIR] [--data DIR] [--clips N] [--quick]

Two models. `rojak-micro`, whose words can be counted, exported and verified (so that `trim_safe` is found, not
assumed), on clips of 1 s to 10 min. And a model of a real Whisper's shape with random weights, where only speed means
anything: every program stops after 20 tokens a window, what a clip of 4 s holds, and ours trims, as it may with a
trim-safe model. Writes DIR/micro and DIR/shape, each with bench.json, bench.md and bench.png.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from rojak.export.bench.bench import BenchOptions, bench, write_bench
from rojak.export.bench.show import to_markdown
from rojak.export.export import check_export, export_model, find_clips
from rojak.export.merge import merge
from rojak.model.whisper import Whisper, load_whisper, save_whisper

SHAPES = {"tiny": (384, 4, 6), "base": (512, 6, 8), "small": (768, 12, 12)}
"""Width, layers, heads."""
OPENAI_VOCABULARY = 51865


def build_random(shape: str, folder: Path) -> None:
    """Write a model of one of OpenAI's shapes and vocabulary sizes with random weights."""
    width, layers, heads = SHAPES[shape]
    micro = load_whisper("rojak-micro")
    tokens = micro.tokens
    config = WhisperConfig(
        vocab_size=OPENAI_VOCABULARY,
        d_model=width,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        decoder_start_token_id=tokens.start,
        bos_token_id=tokens.end,
        eos_token_id=tokens.end,
        pad_token_id=tokens.end,
    )
    torch.manual_seed(0)
    network = WhisperForConditionalGeneration(config)
    network.generation_config.suppress_tokens = network.generation_config.begin_suppress_tokens = None
    save_whisper(Whisper(shape, network, tokens, micro.extractor), folder)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="base")
    parser.add_argument("--out", type=Path, default=Path("inference"))
    parser.add_argument("--data", type=Path, help="prepared data; default: made speech")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--quick", action="store_true", help="clips of 4 s only")
    arguments = parser.parse_args()
    options = BenchOptions(data_dir=arguments.data, most_clips=arguments.clips)
    if arguments.quick:
        options = replace(options, lengths_s=(4.0,))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips, source = find_clips(arguments.data)
        export_model("rojak-micro", folder / "int8", "ct2", "int8")
        verdict = check_export("rojak-micro", folder / "int8", clips, source)
        print(f"rojak-micro int8: WER {verdict.wer_a:.2f} → {verdict.wer_b:.2f} %, trim-safe: {verdict.trim_safe}\n")
        merge("rojak-micro", folder / "float32")
        result = bench([str(folder / "int8"), str(folder / "float32")], options)
        write_bench(result, arguments.out / "micro")
        print(to_markdown(result), flush=True)

        build_random(arguments.shape, folder / "random")
        export_model(str(folder / "random"), folder / "random-int8", "ct2", "int8")
        shaped = replace(options, lengths_s=(4.0,), context="trim", max_new_tokens=20)
        result = bench([str(folder / "random-int8"), str(folder / "random")], shaped)
        write_bench(result, arguments.out / "shape")
        print(f"\nWhisper {arguments.shape}, random weights, 20 tokens a window:\n\n{to_markdown(result)}")


if __name__ == "__main__":
    main()
