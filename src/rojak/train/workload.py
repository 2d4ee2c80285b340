"""How much work a configuration is: its steps, and the micro-batches of a sample of them.

Reads the records of prepared data, or makes some of a given number of hours; loads no model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.errors import InputError
from rojak.model.labelling import Labelling
from rojak.model.names import model_path, token_counter
from rojak.model.whisper import SpeechTokens
from rojak.records import LANGUAGES, Utterance
from rojak.train.costs import PROMPT_TOKENS, Load
from rojak.train.stages import Curriculum, open_training_data

Mode = Literal["pad", "trim", "pack", "mixed"]
SAMPLED_STEPS = 24
"""Steps of a run that are planned for the estimate; windows differ little from step to step."""
MADE_CLIP_S = 4.2
"""Mean seconds of a clip where only the hours are known: the mean of Malaysian corpora the design names."""
TOKENS_PER_S = 3.6
"""Label tokens of a second of speech where no transcript is known."""


@dataclass(frozen=True)
class Workload:
    """Steps of a run and a sample of what they hold; each sampled step is a list of micro-batches."""

    num_steps: int
    sampled: list[list[Load]]
    num_hours: float
    """Hours of speech that the run sees, over all epochs."""

    def largest(self, cost: Callable[[Load], float]) -> Load:
        """Give the sampled micro-batch that costs most."""
        return max((load for step in self.sampled for load in step), key=cost)

    def total(self, cost: Callable[[Load], float]) -> float:
        """Give a cost summed over the run's micro-batches."""
        return self.num_steps * sum(cost(load) for step in self.sampled for load in step) / len(self.sampled)


class MadeData:
    """Stands for a data set of which only the hours are known: clips of gamma-distributed lengths, five languages."""

    prepared_dir = Path()

    def __init__(self, hours: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        count = max(1, round(hours * 3600 / MADE_CLIP_S))
        durations = np.clip(rng.gamma(4.0, MADE_CLIP_S / 4.0, count), 0.5, 30.0)
        durations *= hours * 3600 / durations.sum()
        languages = (*LANGUAGES, "mixed")
        self.utterances = [
            Utterance.model_construct(
                audio_id=f"made-{number}",
                audio_filepath="",
                text="x" * max(1, round(TOKENS_PER_S * duration)),
                duration=min(30.0, float(duration)),
                speaker_id=f"speaker-{number // 50}",
                language=languages[number % len(languages)],
                quality_score=5,
                snr_db=40.0,
            )
            for number, duration in enumerate(durations)
        ]

    def __len__(self) -> int:
        return len(self.utterances)

    def set_splices(self, splices: Sequence[Any]) -> None:
        """Do nothing: made utterances have no words to be cut."""


def read_data(config: TrainConfig, hours: float | None) -> Dataset:
    """Read the configuration's data, or make a stand-in of some hours.

    Raises:
        InputError: The data are not there and no hours were given.
    """
    if hours is not None:
        return cast(Dataset, MadeData(min(hours, config.max_hours or hours), config.seed))
    try:
        return open_training_data(config)
    except InputError as error:
        raise InputError(f"{str(error).rstrip('.')}; or say how much speech there will be with --hours 50.") from error


class _CountedTokens:
    """Has what a curriculum's plan needs of `SpeechTokens`, the number of tokens of a text, without loading a model."""

    labelling = Labelling()

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count

    def encode(self, text: str) -> list[int]:
        return [0] * self._count(text)

    def places(self, text: str) -> list[tuple[int, int]]:
        return [(0, 0)] * self._count(text)


def _counter(config: TrainConfig, data: Dataset) -> Callable[[str], int]:
    if isinstance(data, MadeData):
        return len  # one made letter a token
    if Path(model_path(config.model_name)).is_dir():
        count = token_counter(config.model_name)
        return lambda text: count(text) - PROMPT_TOKENS
    return lambda text: round(rough_tokens(text))


def rough_tokens(text: str) -> float:
    """Estimate Whisper's label tokens of a text by its bytes: 3.3 Latin letters, 1.6 bytes of Han or Tamil a token."""
    encoded = len(text.encode())
    ascii_bytes = sum(char.isascii() for char in text)
    return ascii_bytes / 3.3 + (encoded - ascii_bytes) / 1.6


def plan_curriculum(config: TrainConfig, data: Dataset) -> Curriculum:
    """Make the run's curriculum without a model: for plans only. Of an estimate, it takes longest."""
    return Curriculum(config, data, cast(SpeechTokens, _CountedTokens(_counter(config, data))))


def plan_workload(curriculum: Curriculum) -> Workload:
    """Plan a sample of the run's steps as training would."""
    total = curriculum.total_steps
    wanted = sorted(set(np.linspace(0, total - 1, min(total, SAMPLED_STEPS)).round().astype(int).tolist()))
    sampled: list[list[Load]] = []
    first = 0
    for stage in curriculum.stages:
        for step in (one - first for one in wanted if first <= one < first + stage.num_steps):
            sampled.append([Load.of(batch) for batch in curriculum.plan(stage, step).micro_batches])
        first += stage.num_steps
    speech_s = sum(load.speech_s for step in sampled for load in step) / len(sampled) * total
    return Workload(total, sampled, speech_s / 3600)
