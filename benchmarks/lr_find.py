"""See whether the rate that `rojak lr-find` suggests trains better than ten times more and ten times less.

    python benchmarks/lr_find.py [DATA]

DATA is a folder written by `rojak prepare`; without one, half an hour of speech is made. Trains `rojak-micro` three
times for a few steps from the same start and prints the WERs on the same 100 validation clips.
"""

import argparse
import tempfile
from pathlib import Path

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.data.prepare import prepare
from rojak.data.synthesize import synthesize
from rojak.train.loop import train
from rojak.train.lr_finder import find_learning_rate


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
        finding = find_learning_rate(
            TrainConfig.model_validate(settings), Dataset(arguments.data, ("train",)), lowest=1e-5
        )
        print(f"Suggested: {finding.safe:.1e} (steepest {finding.steepest:.1e})\n\n| rate | WER |\n|---|---|")
        for factor in (0.1, 1.0, 10.0):
            rate = finding.safe * factor
            run = settings | {"learning_rate": rate, "output_dir": f"{folder}/{factor}"}
            print(f"| {rate:.1e} | {train(TrainConfig.model_validate(run)).best_metric:.1%} |", flush=True)


if __name__ == "__main__":
    main()
