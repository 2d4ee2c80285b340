"""Measure what this machine needs for a few micro-batches, and sum a run up from that.

Trains a few steps on a model that is thrown away; writes nothing that stays.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import WhisperConfig

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.train.costs import Load, load_flops
from rojak.train.loop import Trainer
from rojak.train.stages import Curriculum, StepPlan
from rojak.train.workload import Workload

MODES = ("trim", "pack", "pad")
BATCHES_A_MODE = 3
REPEATS = 2
"""Each micro-batch is timed so often, and the fastest counts: anything slower was something else on the machine."""


@dataclass(frozen=True)
class Calibration:
    """Seconds of a unit of each of `_causes`, fitted to measured micro-batches, and of reading a second of audio."""

    device: str
    coefficients: tuple[float, ...]
    read_s_per_audio_s: float
    measured: list[tuple[float, float]]
    """(measured, fitted) seconds of each micro-batch."""

    def load_seconds(self, shape: WhisperConfig, config: TrainConfig, load: Load) -> float:
        """Give the seconds of a micro-batch, without reading."""
        return float(np.dot(self.coefficients, _causes(shape, config, load)))

    def run_seconds(self, shape: WhisperConfig, config: TrainConfig, workload: Workload) -> float:
        """Give the seconds of a run's training steps; validations come on top."""
        reading = 0.0 if config.loader_workers else self.read_s_per_audio_s

        def cost(load: Load) -> float:
            return self.load_seconds(shape, config, load) + reading * load.speech_s

        return workload.total(cost)


def _causes(shape: WhisperConfig, config: TrainConfig, load: Load) -> tuple[float, float, float]:
    """Give what takes time: TFLOP, giga-numbers of attention weights (unfused attention moves them), and launches."""
    attention = shape.encoder_layers * load.positions + shape.decoder_layers * load.tokens
    weights = load.windows * shape.encoder_attention_heads * attention * load.positions
    return load_flops(shape, config, load) / 1e12, weights / 1e9, 1.0


def calibrate(config: TrainConfig, data: Dataset) -> Calibration:
    """Time a few micro-batches of every windows mode on this machine.

    Raises:
        RojakError: The model cannot be loaded, or training cannot run.
    """
    config = config.model_copy(update={"loader_workers": 0, "tensorboard": False})
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, Path(folder), data)
        shape = trainer.whisper.network.config
        loads, times, read_s, speech_s = [], [], 0.0, 0.0
        for curriculum, plan in _plans(config, data, trainer):
            started = time.perf_counter()
            batch = curriculum.build(plan, 0)
            read_s, speech_s = read_s + time.perf_counter() - started, speech_s + batch.speech_s
            loads.append(Load.of(plan.micro_batches[0]))
            times.append(min(_seconds(trainer, plan, batch) for _ in range(REPEATS)))
    rows = np.array([_causes(shape, config, load) for load in loads])
    coefficients = _fit(rows, np.array(times))
    return Calibration(
        device=str(trainer.compute.device),
        coefficients=tuple(coefficients.tolist()),
        read_s_per_audio_s=read_s / speech_s,
        measured=list(zip(times, (rows @ coefficients).tolist(), strict=True)),
    )


def _plans(config: TrainConfig, data: Dataset, trainer: Trainer) -> Iterator[tuple[Curriculum, StepPlan]]:
    """Give single micro-batches of different lengths, each of another step and as a step of its own."""
    for mode in MODES:
        in_mode = config.model_copy(update={"windows": config.windows.model_copy(update={"mode": mode})})
        curriculum = Curriculum(in_mode, data, trainer.whisper.tokens)
        for number, plan in enumerate(islice(curriculum.steps_from(0, 0), BATCHES_A_MODE)):
            place = round(number * (len(plan.micro_batches) - 1) / (BATCHES_A_MODE - 1))
            yield curriculum, replace(plan, micro_batches=[plan.micro_batches[place]])


def _seconds(trainer: Trainer, plan: StepPlan, batch: Any) -> float:
    started = time.perf_counter()
    trainer._step(plan, [batch])
    if trainer.compute.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _fit(rows: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Fit non-negative coefficients that make the relative error least; a cause that comes out below 0 is left out.

    Micro-batches are few and their causes rise together, so plain least squares would give one of them a negative cost.
    """
    scaled = rows / times[:, None]
    kept = list(range(rows.shape[1]))
    while True:
        found = np.zeros(rows.shape[1])
        found[kept] = np.linalg.lstsq(scaled[:, kept], np.ones(len(times)), rcond=None)[0]
        if found.min() >= 0:
            return found
        kept.remove(int(found.argmin()))
