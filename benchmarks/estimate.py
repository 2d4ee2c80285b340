"""Hold `rojak estimate --calibrate` against measured training steps on this machine.

    python benchmarks/estimate.py [DATA]

DATA is a folder written by `rojak prepare`; without one a little speech is made. For each windows mode and rank the
seconds of whole steps are predicted from the calibration's single micro-batches and measured on other steps. Prints
Markdown; the goal is an error within 25 %.
"""

import argparse
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.data.prepare import prepare
from rojak.data.synthesize import synthesize
from rojak.train.calibrate import Calibration, calibrate
from rojak.train.costs import Load
from rojak.train.loop import Trainer


def main() -> None:
    """Read the arguments, make data where there are none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--model", default="rojak-micro")
    parser.add_argument("--steps", type=int, default=4, help="measured in each mode")
    parser.add_argument("--ranks", type=int, nargs="+", default=[8, 64])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arguments.data = arguments.data or make_data(Path(folder))
        measure(arguments)


def make_data(folder: Path) -> Path:
    """Make and prepare a few minutes of speech."""
    synthesize(folder / "corpus", 0.2, 5, show_progress=False)
    prepare(folder / "corpus", folder / "data")
    return folder / "data"


def measure(arguments: argparse.Namespace) -> None:
    """Print the table."""
    data = Dataset(arguments.data, ("train",))
    errors = []
    print("| windows | rank | measured s a step | predicted | error |\n|---|---|---|---|---|")
    for rank in arguments.ranks:
        base = config(arguments, rank, "mixed")
        calibration = calibrate(base, data)
        for mode in ("trim", "pack", "mixed", "pad"):
            settings = config(arguments, rank, mode)
            measured, predicted = steps(settings, data, arguments.steps, calibration)
            errors.append(predicted / measured - 1)
            print(f"| {mode} | {rank} | {measured:.2f} | {predicted:.2f} | {errors[-1]:+.0%} |", flush=True)
    print(f"\nMedian error {statistics.median(map(abs, errors)):.0%}, largest {max(map(abs, errors)):.0%}.")


def config(arguments: argparse.Namespace, rank: int, mode: str) -> TrainConfig:
    """Give the measured configuration."""
    return TrainConfig.model_validate(
        {
            "model_name": arguments.model,
            "dataset_path": str(arguments.data),
            "output_dir": "unused",
            "lora_r": rank,
            "batch_size": 8,
            "windows": {"mode": mode},
            "tensorboard": False,
        }
    )


def steps(settings: TrainConfig, data: Dataset, count: int, calibration: Calibration) -> tuple[float, float]:
    """Take steps that the calibration has not seen; give the medians of measured and predicted seconds."""
    measured, predicted = [], []
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(settings, Path(folder), data)
        shape = trainer.whisper.network.config
        for number, plan in enumerate(islice(trainer.curriculum.steps_from(0, 1), count + 1)):
            started = time.perf_counter()
            trainer._step(plan, [trainer.curriculum.build(plan, n) for n in range(len(plan.micro_batches))])
            if number:  # the first one warms up
                measured.append(time.perf_counter() - started)
                loads = [Load.of(batch) for batch in plan.micro_batches]
                reading = calibration.read_s_per_audio_s * sum(load.speech_s for load in loads)
                predicted.append(reading + sum(calibration.load_seconds(shape, settings, load) for load in loads))
    return statistics.median(measured), statistics.median(predicted)


if __name__ == "__main__":
    main()
