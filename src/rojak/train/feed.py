"""Batches on their way to a process: which are its own, who builds them, and what they hold.

Reads prepared shards, in loader workers if there are any.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait

from torch.utils.data import DataLoader
from transformers import WhisperConfig

from rojak.config.schema import TrainConfig
from rojak.errors import RojakError
from rojak.features.mel import SAMPLES_PER_POSITION
from rojak.features.windows import Window, deal
from rojak.train.batch import Batch
from rojak.train.checkpoint import RunState
from rojak.train.flops import step_flops
from rojak.train.processes import Processes
from rojak.train.stages import Curriculum, StepPlan


def own_micro_batches(plan: StepPlan, processes: Processes) -> list[int]:
    """Give the numbers of a step's micro-batches that this process computes."""
    return deal(plan.micro_batches, processes.count)[processes.rank]


def feed(curriculum: Curriculum, state: RunState, workers: int, processes: Processes) -> Iterator[Batch]:
    """Build this process's batches in training order, ahead of need when there are loader workers."""
    jobs = (
        (plan.stage.index, plan.epoch, plan.micro_batches[number])
        for plan in curriculum.steps_from(state.stage_index, state.step_in_stage)
        for number in own_micro_batches(plan, processes)
    )
    if workers == 0:
        for job in jobs:
            yield curriculum.build_windows(*job)
        return
    # One process imports the libraries; the workers are copies of it, which start in a moment.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    loader: DataLoader[Batch | RojakError] = DataLoader(
        _Built(curriculum),  # type: ignore[arg-type]
        sampler=jobs,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4,
        multiprocessing_context=context,
        pin_memory=processes.device.type == "cuda",
        worker_init_fn=_end_with_the_trainer,
    )
    for batch in loader:
        if isinstance(batch, RojakError):
            raise batch
        yield batch


def _end_with_the_trainer(worker: int) -> None:
    """Let a loader worker end when the process that trains was killed, and not before: Ctrl-C is for the trainer.

    torch looks whether the fork server is there, not the trainer.
    """
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    trainer = multiprocessing.parent_process()
    assert trainer is not None
    sentinel = trainer.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def total_sizes(batches: Sequence[Batch], shape: WhisperConfig, config: TrainConfig) -> tuple[float, ...]:
    """Give what batches hold together: weight in the loss, label tokens, seconds of speech, seconds with padding, work.

    Args:
        batches: Perhaps none.
        shape: Of the model.
        config: Says what of it is trained.
    """
    totals, frozen = [0.0] * 5, config.adapter != "none"
    for batch in batches:
        windows, tokens = batch.labels.shape
        positions = batch.waveforms.shape[1] // SAMPLES_PER_POSITION
        flops = step_flops(shape, windows, positions, tokens, frozen=frozen, encoder_learns=config.encoder_learns)
        learnt = int((batch.weights > 0).sum())
        sizes = (float(batch.weights.sum()), learnt, batch.speech_s, batch.padded_s, flops)
        totals = [total + size for total, size in zip(totals, sizes, strict=True)]
    return tuple(totals)


class _Built:
    """The micro-batches of a run as a torch data set whose keys are (stage, epoch, windows).

    Bad input is given and not raised: torch would put the worker's traceback into the message.
    """

    def __init__(self, curriculum: Curriculum) -> None:
        self._curriculum = curriculum

    def __getitem__(self, job: tuple[int, int, list[Window]]) -> Batch | RojakError:
        try:
            return self._curriculum.build_windows(*job)
        except RojakError as error:
            return error
