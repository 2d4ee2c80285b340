"""Measure inference: our exports beside faster-whisper, transformers and, where installed, openai-whisper.

    python benchmarks/inference.py [--only micro|shapes] [--shapes tiny base small] [--out DIR] [--data DIR] [--clips N]

`rojak-micro`, whose words can be counted, is exported and verified (so that `trim_safe` is found, not assumed) and
heard on clips of 1 s to 10 min. Models of OpenAI's shapes and vocabulary size with random weights tell of speed only:
every program stops after 20 tokens a window, what a clip of 4 s holds. Writes DIR/<what>/bench.json, bench.md and
bench.png and prints how many times faster than each peer ours is.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from rojak.export.bench.bench import BenchOptions, BenchResult, bench, write_bench
from rojak.export.bench.show import length_name, to_markdown
from rojak.export.export import check_export, export_model, find_clips
from rojak.export.merge import merge
from rojak.model.micro import build_tokenizer, build_untrained
from rojak.model.shapes import whisper_shape
from rojak.model.whisper import save_whisper

SHAPE_FIELDS = (
    "num_mel_bins", "d_model", "encoder_layers", "decoder_layers", "encoder_attention_heads",
    "decoder_attention_heads", "encoder_ffn_dim", "decoder_ffn_dim",
)  # fmt: skip
TEXTS = ["boleh you tolong check jadual ini sekarang", "saya nak makan nasi lemak lah"] * 20


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("micro", "shapes"))
    parser.add_argument("--shapes", nargs="+", default=["base"], help="names of OpenAI's sizes")
    parser.add_argument("--out", type=Path, default=Path("inference"))
    parser.add_argument("--data", type=Path, help="prepared data; default: made speech")
    parser.add_argument("--clips", type=int, default=16)
    arguments = parser.parse_args()
    options = BenchOptions(data_dir=arguments.data, most_clips=arguments.clips)
    with tempfile.TemporaryDirectory() as name:
        if arguments.only != "shapes":
            measure_micro(Path(name), options, arguments.out)
        for shape in arguments.shapes if arguments.only != "micro" else ():
            measure_shape(shape, Path(name), options, arguments.out)


def measure_micro(folder: Path, options: BenchOptions, out: Path) -> None:
    """Hear clips of all lengths with int8 files, in both contexts, and short ones with the programs that are slow."""
    clips, source = find_clips(options.data_dir, max_clips=128)
    export_model("rojak-micro", folder / "int8", "ct2", "int8")
    verdict = check_export("rojak-micro", folder / "int8", clips, source)
    print(f"rojak-micro int8: WER {verdict.wer_a:.2f} → {verdict.wer_b:.2f} %, {verdict.wer_loss}; trim-safe: "
          f"{verdict.trim_safe}, {verdict.trim_loss}\n")  # fmt: skip
    merge("rojak-micro", folder / "float32")
    auto, plain = replace(options, context="trim" if verdict.trim_safe else "full"), replace(options, lengths_s=(4.0,))
    full = replace(options, lengths_s=(30.0, 600.0), context="full")
    tell("rojak-micro int8", bench([str(folder / "int8")], auto), out / "micro")
    tell("rojak-micro int8, all with 30 s of context", bench([str(folder / "int8")], full), out / "micro-full")
    tell("rojak-micro in other programs", bench([str(folder / "float32")], plain), out / "micro-plain")


def measure_shape(shape: str, folder: Path, options: BenchOptions, out: Path) -> None:
    """Hear clips of 4 s with a model of one of OpenAI's shapes and random weights: int8 and float32, both contexts."""
    config = whisper_shape(f"openai/whisper-{shape}")
    tokenizer = build_tokenizer(TEXTS, 400, filled_up_to=50257)
    fields = {name: getattr(config, name) for name in SHAPE_FIELDS}
    plain = folder / shape
    save_whisper(build_untrained(shape, tokenizer, 0, **fields), plain)
    for dtype in ("int8", "float32"):
        export_model(str(plain), folder / f"{shape}-{dtype}", "ct2", dtype)
    models = [str(folder / f"{shape}-int8"), str(folder / f"{shape}-float32"), str(plain)]
    short = replace(options, lengths_s=(4.0,), max_new_tokens=20)
    tell(f"Whisper {shape}, random weights, trimmed", bench(models, replace(short, context="trim")), out / shape)
    whole = bench(models[:2], replace(short, context="full", peers=()))
    tell(f"Whisper {shape}, random weights, 30 s of context", whole, out / f"{shape}-full")


def tell(title: str, result: BenchResult, out: Path) -> None:
    """Write and print a table, and the ratio of ours to each peer on the same files."""
    write_bench(result, out)
    print(f"## {title}\n\n{to_markdown(result)}")
    ours = {(row.model, row.length_s, row.batch): row for row in result.rows if row.system == "rojak"}
    for row in result.rows:
        if row.system != "rojak":
            mine = ours[row.model, row.length_s, row.batch]
            where = f"{row.kind} {row.dtype}, {length_name(row.length_s)}, batch {row.batch}"
            cpu = f"by CPU time {row.cpu_rtf / mine.cpu_rtf:.2f}"
            print(f"ours / {row.system}, {where}: {mine.audio_per_s / row.audio_per_s:.2f}, {cpu}")
    print(flush=True)


if __name__ == "__main__":
    main()
