"""A learning rate by measurement: raise it step by step and see where the loss falls and where it breaks (Smith, 2017).

Trains a copy of the model that is thrown away; writes `lr-find.csv` and `lr-find.png`.

Batches differ more in difficulty than one step changes the loss, so each batch's loss is held against what the
untouched model makes of the same batch: a curve of changes, which needs far less smoothing.
"""

import csv
import io
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.errors import TrainingError
from rojak.model.whisper import encode_audio, token_losses
from rojak.runs import explain_os_error, write_bytes
from rojak.train.batch import Batch
from rojak.train.loop import Trainer
from rojak.train.stages import StepPlan

SMOOTHING = 0.8
"""Weight of the past in the moving mean."""
DIVERGED = 0.25
"""The test ends when the smoothed loss is so far above its lowest, as a share of the untouched model's loss."""
SAFETY = 10.0
"""The safe rate is this much below the rate of the lowest loss, as in fastai's `lr_find`."""
CSV_NAME, PNG_NAME = "lr-find.csv", "lr-find.png"


@dataclass(frozen=True)
class LrFinding:
    """Points of the test and what they suggest."""

    rates: list[float]
    losses: list[float]
    """Untouched loss plus each batch's change."""
    smoothed: list[float]
    steepest: float
    """Where the smoothed loss falls fastest; the boldest rate that makes sense."""
    safe: float
    """A tenth of the rate with the lowest loss: the one to begin with."""
    diverged: bool


def find_learning_rate(
    config: TrainConfig,
    data: Dataset,
    *,
    num_steps: int = 100,
    lowest: float = 1e-6,
    highest: float = 1.0,
    on_step: Callable[[int], None] | None = None,
) -> LrFinding:
    """Run the range test on the first steps of the configured run, without touching its output_dir.

    Args:
        config: The run; its own rate and schedule are not used.
        data: Training data.
        num_steps: Optimiser steps over which the rate rises.
        lowest: First rate.
        highest: Last rate, usually not reached: the test ends when the loss diverges.
        on_step: Told the number of steps done.

    Raises:
        TrainingError: The loss did not fall at any rate, or broke before it could be judged.
    """
    # A flat schedule, so that each step's rate is the one put into its plan.
    flat = config.optimizer.model_copy(update={"warmup_ratio": 0.0, "min_learning_rate_ratio": 1.0})
    config = config.model_copy(update={"optimizer": flat})
    rates: list[float] = []
    changes: list[float] = []
    diverged = False
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, Path(folder), data)
        plans = list(islice(_endless(trainer), num_steps))
        untouched = [_plain_loss(trainer, _batches(trainer, plan)) for plan in plans]
        for number, planned in enumerate(plans):
            rate = lowest * (highest / lowest) ** (number / (num_steps - 1))
            plan = replace(planned, stage=replace(planned.stage, learning_rate=rate))
            batches = _batches(trainer, plan)
            try:
                # The loss of the weights as the steps so far, at the rates so far, have left them.
                loss = _plain_loss(trainer, batches)
                trainer._step(plan, batches)
            except TrainingError:
                loss = math.inf
            change = loss - untouched[number]
            if not math.isfinite(change) or _smooth([*changes, change])[-1] > _limit(changes, untouched):
                diverged = True
                break
            rates.append(rate)
            changes.append(change)
            if on_step:
                on_step(number + 1)
    level = sum(untouched) / len(untouched)
    return _judge(rates, changes, level, diverged=diverged)


def _endless(trainer: Trainer) -> Iterator[StepPlan]:
    """Give the run's plans, from the beginning again when the run is shorter than the test."""
    while True:
        yield from trainer.curriculum.steps_from(0, 0)


def _batches(trainer: Trainer, plan: StepPlan) -> list[Batch]:
    return [trainer.curriculum.build(plan, number) for number in range(len(plan.micro_batches))]


@torch.no_grad()
def _plain_loss(trainer: Trainer, batches: list[Batch]) -> float:
    """Give the mean loss over the label tokens, without dropout and masks."""
    trainer.model.eval()
    device, network = trainer.compute.device, trainer.whisper.network
    total, count = 0.0, 0
    for batch in batches:
        mel = trainer.log_mel(batch.waveforms.to(device))
        with trainer.compute.autocast():
            losses = token_losses(network, encode_audio(network, mel), batch.inputs.to(device), batch.labels.to(device))
        total, count = total + losses.sum().item(), count + len(losses)
    return total / count


def _limit(changes: list[float], untouched: list[float]) -> float:
    lowest = min(_smooth(changes), default=0.0)
    return min(lowest, 0.0) + DIVERGED * sum(untouched) / len(untouched)


def _smooth(values: list[float]) -> list[float]:
    """Moving mean with exponential weights, corrected for its start (Kingma & Ba, 2015)."""
    smoothed, mean = [], 0.0
    for number, value in enumerate(values, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        smoothed.append(mean / (1 - SMOOTHING**number))
    return smoothed


def _judge(rates: list[float], changes: list[float], level: float, *, diverged: bool) -> LrFinding:
    """Read the suggestions off the curve.

    Raises:
        TrainingError: There is nothing to read off.
    """
    smoothed = _smooth(changes)
    if len(rates) < 10:
        raise TrainingError(
            f"The loss broke after {len(rates)} steps, at a learning rate of {rates[-1] if rates else 0:.1g}; "
            "start lower, with --lowest, and take more --steps."
        )
    best = min(range(len(rates)), key=smoothed.__getitem__)
    if smoothed[best] > -0.01 * level:
        raise TrainingError(
            f"The loss did not fall at any learning rate up to {rates[-1]:.1g}; the model already knows these data, or "
            "transcripts do not belong to their recordings (see `rojak inspect`)."
        )
    # The curve's steps are even in log rate, so plain differences over a few of them are its slopes.
    reach = max(1, len(rates) // 20)
    inner = range(reach, best + 1)
    steepest = min(inner, key=lambda i: smoothed[i] - smoothed[i - reach], default=best)
    return LrFinding(
        rates=rates,
        losses=[level + change for change in changes],
        smoothed=[level + change for change in smoothed],
        steepest=rates[steepest],
        safe=min(rates[best] / SAFETY, rates[steepest]),
        diverged=diverged,
    )


def write_finding(finding: LrFinding, out_dir: Path) -> tuple[Path, Path]:
    """Write the points as CSV and the curve as PNG; give both paths.

    Raises:
        InputError: The folder cannot be written.
    """
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, out_dir) from error
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["learning_rate", "loss", "smoothed_loss"])
    rows.writerows(zip(finding.rates, finding.losses, finding.smoothed, strict=True))
    write_bytes(out_dir / CSV_NAME, text.getvalue().encode())
    write_bytes(out_dir / PNG_NAME, _draw(finding))
    return out_dir / CSV_NAME, out_dir / PNG_NAME


def _draw(finding: LrFinding) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.plot(finding.rates, finding.losses, color="0.8", linewidth=1, label="loss")
    axes.plot(finding.rates, finding.smoothed, color="#0b6e99", label="smoothed")
    axes.axvline(finding.steepest, color="#c2410c", linestyle="--", label=f"steepest {finding.steepest:.1e}")
    axes.axvline(finding.safe, color="#15803d", linestyle="--", label=f"safe {finding.safe:.1e}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss on the same clips", title="Learning-rate range test")
    axes.legend()
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()
