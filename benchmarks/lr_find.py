"""See whether the rate that `rojak lr-find` suggests trains better than ten times more and ten times less.

    python benchmarks/lr_find.py [DATA]

DATA is a folder written by `rojak prepare`; without one, half an hour of speech is made. Trains `rojak-micro` three
times for a few steps from the same start and prints what each makes of the same 100 validation clips.
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.data.prepare import prepare
from rojak.data.synthesize import synthesize
from rojak.train.loop import Trainer, train
from rojak.train.lr_finder import find_learning_rate
from rojak.train.runlog import events


def main() -> None:
    """Print the WER of each rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--steps", type=int, default=120, help="of each of the three runs")
    parser.add_argument("--batch-size", type=int, default=4, help="small, so that it ends within minutes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.data is None:
            synthesize(Path(folder) / "corpus", 0.5, 5, show_progress=False)
            arguments.data = Path(folder) / "data"
            prepare(Path(folder) / "corpus", arguments.data)
        settings = {
            "dataset_path": str(arguments.data),
            "output_dir": f"{folder}/run",
            "batch_size": arguments.batch_size,
            "lora_dropout": 0.0,
            "windows": {"mode": "trim"},
            "stages": [{"name": "all", "max_steps": arguments.steps}],
            "validation": {"every_steps": arguments.steps, "max_utterances": 100, "max_new_tokens": 64},
            "tensorboard": False,
        }
        data = Dataset(arguments.data, ("train",))
        finding = find_learning_rate(TrainConfig.model_validate(settings), data, lowest=1e-5)
        print(f"Suggested: {finding.safe:.1e} (steepest {finding.steepest:.1e})\n")
        print("| rate | WER | CER | particle recall | validation loss |\n|---|---|---|---|---|")
        untouched = Trainer(TrainConfig.model_validate(settings), Path(folder), data)
        untouched.model.eval()
        with untouched.compute.autocast():
            result = untouched.validator.run()
        show("untouched", result.metrics | result.signs)
        for factor in (0.1, 1.0, 10.0):
            rate, place = finding.safe * factor, Path(folder) / str(factor)
            run = settings | {"learning_rate": rate, "output_dir": str(place)}
            train(TrainConfig.model_validate(run))
            show(f"{rate:.1e}", events(place, ("validation",))[-1])


def show(rate: str, figures: Mapping[str, Any]) -> None:
    """Print a line of the table."""
    shares = " | ".join(f"{figures[name]:.1%}" for name in ("wer", "cer", "particle_recall"))
    print(f"| {rate} | {shares} | {figures['validation_loss']:.3f} |", flush=True)


if __name__ == "__main__":
    main()
