"""Rebuild the embedded base model `rojak-micro` from nothing: speech, tokenizer, random weights, training.

    python scripts/build_micro.py WORK            # about half an hour on two cores
    python scripts/build_micro.py WORK --install  # and put the result into src/rojak/model/micro

Writes WORK/{corpus,data,init,run,rojak-micro}. Runs again where it stopped.
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from rojak.config.load import load_config
from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.data.prepare import prepare
from rojak.data.synthesis_plan import CLEAN_MONOLINGUAL
from rojak.data.synthesize import synthesize
from rojak.evaluate.evaluate import EvaluateOptions, evaluate
from rojak.model.micro import build_micro
from rojak.model.names import MICRO_DIR
from rojak.model.whisper import load_whisper, save_whisper
from rojak.train.loop import train

HOURS = 16.0
SEED = 100
CONFIG = Path(__file__).parents[1] / "configs" / "micro-base.yaml"
WEIGHT_FILES = ("config.json", "generation_config.json", "model.safetensors", "preprocessor_config.json",
                "tokenizer.json", "tokenizer_config.json")  # fmt: skip


def main() -> None:
    """Run every step that is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--hours", type=float, default=HOURS)
    parser.add_argument("--install", action="store_true", help="Copy the result into the package.")
    arguments = parser.parse_args()
    work: Path = arguments.work
    synthesize(work / "corpus", arguments.hours, SEED, settings=CLEAN_MONOLINGUAL)
    prepare(work / "corpus", work / "data", show_progress=True)
    if not (work / "init" / "config.json").is_file():
        texts = [utterance.text for utterance in Dataset(work / "data", ("train",)).utterances]
        build_micro(texts, work / "init", SEED)
    config = load_config(
        TrainConfig,
        CONFIG,
        model_name=str(work / "init"),
        dataset_path=str(work / "data"),
        output_dir=str(work / "run"),
    )
    train(config)
    whisper = load_whisper(str(work / "run" / "best"))
    whisper.network.to(torch.float16)
    save_whisper(whisper, work / "rojak-micro")
    for context in ("full", "trim"):
        options = EvaluateOptions(snr_ranges=(), with_base=False)
        options = replace(options, decode=replace(options.decode, context=context))
        evaluate(str(work / "rojak-micro"), work / "data", work / f"evaluation-{context}", options)
    if arguments.install:
        MICRO_DIR.mkdir(exist_ok=True)
        for name in WEIGHT_FILES:
            shutil.copyfile(work / "rojak-micro" / name, MICRO_DIR / name)


if __name__ == "__main__":
    main()
