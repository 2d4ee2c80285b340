"""The curriculum as a list of steps: which clips each optimiser step sees, laid into which windows.

Takes the configuration and the training data; gives, for any step of the run, the same plan every time it is asked.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from rojak.config.schema import StageConfig, TrainConfig, WindowsConfig
from rojak.data.dataset import Dataset, prompt_language
from rojak.data.mixture import Mixture, select_recorded, selectable_fields
from rojak.data.splice import Splice, plan_splices
from rojak.features.augment import draw_speed, sample_rng
from rojak.features.mel import WINDOW_SECONDS
from rojak.features.recordings import list_recordings
from rojak.features.windows import Clip, Window, plan_step
from rojak.model.labels import PROMPT_TOKENS, check_lengths, label
from rojak.model.whisper import MAX_TARGET_TOKENS, SpeechTokens
from rojak.train.batch import Batch, BatchBuilder


def derive_seed(*parts: int) -> int:
    """Give one well-mixed 63-bit seed for a tuple of numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


@dataclass(frozen=True)
class Stage:
    """A stage with its length in steps."""

    index: int
    config: StageConfig
    mixture: Mixture
    steps_per_epoch: int
    num_steps: int
    learning_rate: float
    schedule_start: int = 0
    """Step of the run at which the learning-rate schedule began that holds here."""
    schedule_steps: int = 0

    def describe(self) -> str:
        """Say in a sentence what an epoch of the stage is made of."""
        shares = self.mixture.shares()
        parts = (f"{one['share']:.0%} {one['select']} ({one['passes']:.2g} passes)" for one in shares)
        return f"Stage {self.config.name}: {len(self.mixture)} samples an epoch, {'; '.join(parts)}."


@dataclass(frozen=True)
class StepPlan:
    """One optimiser step: its micro-batches, and what is needed to build them."""

    stage: Stage
    step_in_stage: int
    epoch: int
    micro_batches: list[list[Window]]


def open_training_data(config: TrainConfig) -> Dataset:
    """Open the utterances that a run trains on.

    Raises:
        InputError: No prepared data there.
    """
    data = Dataset(Path(config.dataset_path), config.train_splits)
    if config.max_hours:
        data.keep_hours(config.max_hours, config.seed)
    return data


class Curriculum:
    """All stages over one training set."""

    def __init__(self, config: TrainConfig, data: Dataset, tokens: SpeechTokens, num_processes: int = 1) -> None:
        self._config = config
        self._data = data
        self._spliced = _splice(config, data)
        self._builder = BatchBuilder(data, tokens, config)
        self._num_tokens = [
            len(label(tokens, utterance, prompt_language(utterance, config.mixed_language_token)).ids)
            for utterance in data.utterances
        ]
        self._num_processes = num_processes
        self.clips_per_step = config.batch_size * config.gradient_accumulation_steps
        self.stages = _with_schedules([self._stage(index, stage) for index, stage in enumerate(config.stages)])
        self.total_steps = sum(stage.num_steps for stage in self.stages)
        self._last_order: tuple[tuple[int, int], list[int]] | None = None

    def check_lengths(self) -> None:
        """See that every transcript that is trained on fits into the decoder; only a model's own tokens can tell.

        Raises:
            TrainingError: Names those that do not.
        """
        used = sorted({index for stage in self.stages for index in stage.mixture.selected})
        lengths = {self._data.utterances[index].audio_id: self._num_tokens[index] for index in used}
        check_lengths(lengths, self._config.model_name)

    def in_windows(self, windows: WindowsConfig) -> "Curriculum":
        """Give the same curriculum with other windows, without selecting and splicing anew; stages keep their own."""
        other = copy.copy(self)
        other._config = self._config.model_copy(update={"windows": windows})
        return other

    def _stage(self, index: int, config: StageConfig) -> Stage:
        for folders in (config.augment.noise_dirs, config.augment.room_dirs):
            if folders:
                list_recordings(folders)  # complains now and not in the middle of the run
        mixture = Mixture(config.mixture, self._data.utterances, config.name, self._spliced.get(index))
        per_epoch = math.ceil(len(mixture) / self.clips_per_step)
        epochs = config.num_epochs or self._config.num_epochs
        steps = config.max_steps or max(1, round(epochs * per_epoch))
        return Stage(index, config, mixture, per_epoch, steps, config.learning_rate or self._config.learning_rate)

    def steps_from(self, stage_index: int, step_in_stage: int) -> Iterator[StepPlan]:
        """Give the plans from a place in the run to its end."""
        for stage in self.stages[stage_index:]:
            first = step_in_stage if stage.index == stage_index else 0
            for step in range(first, stage.num_steps):
                yield self.plan(stage, step)

    def _order(self, stage: Stage, epoch: int) -> list[int]:
        """Give the order of an epoch; the last one is kept, for a long epoch takes a while to draw."""
        key = (stage.index, epoch)
        if self._last_order is None or self._last_order[0] != key:
            self._last_order = (key, stage.mixture.order(self._config.seed, stage.index, epoch))
        return self._last_order[1]

    def plan(self, stage: Stage, step: int) -> StepPlan:
        """Give the plan of one step of a stage."""
        epoch, place = divmod(step, stage.steps_per_epoch)
        indices = self._order(stage, epoch)[place * self.clips_per_step :][: self.clips_per_step]
        rng = np.random.default_rng((self._config.seed, stage.index, step, 2))
        clips = [self._clip(index, stage, epoch) for index in indices]
        windows = stage.config.windows or self._config.windows
        max_batch_s, max_tokens = longest_batch_s(windows, self._config.batch_size), MAX_TARGET_TOKENS - PROMPT_TOKENS
        micro_batches = plan_step(clips, windows, max_batch_s, max_tokens, rng, self._num_processes)
        return StepPlan(stage, step, epoch, micro_batches)

    def _clip(self, index: int, stage: Stage, epoch: int) -> Clip:
        utterance = self._data.utterances[index]
        rng = sample_rng(self._config.seed, self._global_epoch(stage, epoch), utterance.audio_id)
        duration = utterance.duration / draw_speed(stage.config.augment, rng, utterance.duration)
        return Clip(index, duration, utterance.speaker_id or utterance.audio_id, self._num_tokens[index])

    def _global_epoch(self, stage: Stage, epoch: int) -> int:
        """Number epochs over all stages, so that a clip sounds different in each."""
        return 1000 * stage.index + epoch

    def build(self, plan: StepPlan, number: int) -> Batch:
        """Build the tensors of one micro-batch of a plan."""
        return self.build_windows(plan.stage.index, plan.epoch, plan.micro_batches[number])

    def build_windows(self, stage_index: int, epoch: int, windows: Sequence[Window]) -> Batch:
        """Build the tensors of some windows of a stage's epoch."""
        stage = self.stages[stage_index]
        return self._builder.build(windows, stage.config.augment, self._global_epoch(stage, epoch))


def longest_batch_s(windows: WindowsConfig, batch_size: int) -> float:
    """Give the limit on the padded audio seconds of a micro-batch."""
    return windows.max_batch_seconds or batch_size * WINDOW_SECONDS


def _with_schedules(stages: list[Stage]) -> list[Stage]:
    """Let a learning-rate schedule run from each fresh start to the next, or over the whole run."""
    starts = [0] + [i for i, stage in enumerate(stages) if i and stage.config.fresh_optimizer] + [len(stages)]
    scheduled: list[Stage] = []
    first_step = 0
    for begin, end in pairwise(starts):
        steps = sum(stage.num_steps for stage in stages[begin:end])
        scheduled += [replace(one, schedule_start=first_step, schedule_steps=steps) for one in stages[begin:end]]
        first_step += steps
    return scheduled


def _splice(config: TrainConfig, data: Dataset) -> dict[int, dict[int, range]]:
    """Make the spliced utterances that stages ask for; give, by stage and component, their indices in the data."""
    found: dict[int, dict[int, range]] = {}
    splices: list[Splice] = []
    data.set_splices([])
    num_recorded = len(data)
    fields = [selectable_fields(utterance) for utterance in data.utterances] if _asks_for_splices(config) else []
    for number, stage in enumerate(config.stages):
        for place, component in enumerate(stage.mixture):
            if component.spliced:
                members = select_recorded(component, fields, stage.name)
                seed = derive_seed(config.seed, number, place)
                first = num_recorded + len(splices)
                splices += plan_splices(
                    data.utterances, members, component.spliced, seed, f"spliced-{stage.name}-{place}"
                )
                found.setdefault(number, {})[place] = range(first, num_recorded + len(splices))
    data.set_splices(splices)
    return found


def _asks_for_splices(config: TrainConfig) -> bool:
    return any(component.spliced for stage in config.stages for component in stage.mixture)
