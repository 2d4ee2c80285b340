"""Rebuild the embedded base model `rojak-micro` from nothing: speech, tokenizer, random weights, training.

    python scripts/build_micro.py WORK            # hours on two cores
    python scripts/build_micro.py WORK --install  # and put the result into src/rojak/model/micro

Writes WORK/{corpus,data}{,-2,-3,-4}, WORK/init, WORK/run{,-2,…,-7} and WORK/rojak-micro. Runs again where it stopped.
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

SEED = 100
CORPORA = {"": (16.0, 48), "-2": (24.0, 96), "-3": (20.0, 480), "-4": (40.0, 480)}
"""Ending of the folders: hours and number of speakers; of every 24 speakers, 17 are heard in training."""
ROUNDS = (("micro-base", "init", "", "run"), ("micro-voices", "run/best", "-2", "run-2"),
          ("micro-rooms", "run-2/best", "-2", "run-3"), ("micro-noise", "run-3/best", "-2", "run-4"),
          ("micro-street", "run-4/best", "-2", "run-5"), ("micro-switches", "run-5/best", "-3", "run-6"),
          ("micro-words", "run-6/best", "-4", "run-7"))  # fmt: skip
"""Config, model that it begins with, data, run."""
CONFIG_DIR = Path(__file__).parents[1] / "configs"
WEIGHT_FILES = ("config.json", "generation_config.json", "model.safetensors", "preprocessor_config.json",
                "tokenizer.json", "tokenizer_config.json")  # fmt: skip


def main() -> None:
    """Run every step that is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--install", action="store_true", help="Copy the result into the package.")
    arguments = parser.parse_args()
    work: Path = arguments.work
    for number, (ending, (hours, num_speakers)) in enumerate(CORPORA.items()):
        settings = replace(CLEAN_MONOLINGUAL, num_speakers=num_speakers)
        synthesize(work / f"corpus{ending}", hours, SEED + number, settings=settings)
        prepare(work / f"corpus{ending}", work / f"data{ending}", show_progress=True)
    if not (work / "init" / "config.json").is_file():
        texts = [utterance.text for utterance in Dataset(work / "data", ("train",)).utterances]
        build_micro(texts, work / "init", SEED)
    for name, start, ending, run in ROUNDS:
        folders = {"model_name": work / start, "dataset_path": work / f"data{ending}", "output_dir": work / run}
        paths = {key: str(path) for key, path in folders.items()}
        train(load_config(TrainConfig, CONFIG_DIR / f"{name}.yaml", **paths))
    whisper = load_whisper(str(work / ROUNDS[-1][-1] / "best"))
    whisper.network.to(torch.float16)
    save_whisper(whisper, work / "rojak-micro")
    for context in ("full", "trim"):
        options = EvaluateOptions(snr_ranges=(), with_base=False, max_utterances=400)
        options = replace(options, decode=replace(options.decode, context=context))
        evaluate(str(work / "rojak-micro"), work / "data-4", work / f"evaluation-{context}", options)
    if arguments.install:
        MICRO_DIR.mkdir(exist_ok=True)
        for name in WEIGHT_FILES:
            shutil.copyfile(work / "rojak-micro" / name, MICRO_DIR / name)


if __name__ == "__main__":
    main()
