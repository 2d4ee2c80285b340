"""Batches on their way to a process: which are its own, who builds them, and what they hold.

Reads prepared shards, in loader workers if there are any.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
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

SIGNALS = {signal.SIGINT, signal.SIGTERM}
"""Those that stop a run in good order. A terminal, `torchrun` and schedulers send them to all its processes."""
GRACE_S = 60.0
"""How long a loader worker goes on after SIGTERM, so that the trainer can finish its step."""


def own_micro_batches(plan: StepPlan, processes: Processes) -> list[int]:
    """Give the numbers of a step's micro-batches that this process computes."""
    return deal(plan.micro_batches, processes.count)[processes.rank]


def feed(curriculum: Curriculum, state: RunState, workers: int, processes: Processes) -> Generator[Batch]:
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
        worker_init_fn=_set_up_worker,
    )
    with _held_back(SIGNALS):
        batches = iter(loader)  # starts the fork server, which must hear no signal at all, and the workers
    for batch in batches:
        if isinstance(batch, RojakError):
            raise batch
        yield batch


@contextmanager
def _held_back(signals: set[signal.Signals]) -> Iterator[None]:
    """Let signals wait; processes that are started meanwhile do not hear them until they ask for them."""
    resource_tracker.ensure_running()  # starting it would let them through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _set_up_worker(worker: int) -> None:
    """Leave signals to the trainer, which finishes its step and needs batches for it, and end when it was killed.

    torch looks whether the fork server is there, not the trainer.
    """
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_in_a_while)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    trainer = multiprocessing.parent_process()
    assert trainer is not None
    sentinel = trainer.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _end_in_a_while(*_: object) -> None:
    timer = threading.Timer(GRACE_S, os._exit, (1,))
    timer.daemon = True
    timer.start()


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
