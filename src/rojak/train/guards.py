"""Guard sets: utterances on which the model must not get worse, so that forgetting is seen while it happens.

Reads prepared shards; gives losses beside those of the untrained model.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.data.mixture import compile_selection, selectable_fields
from rojak.errors import ConfigError
from rojak.evaluate.decode import Context
from rojak.model.labels import check_texts
from rojak.model.whisper import Whisper
from rojak.train.heldout import heldout_loss


@dataclass(frozen=True)
class Guarded:
    """A guard set's loss now and before training."""

    name: str
    loss: float
    base_loss: float
    max_rise: float | None

    @property
    def is_broken(self) -> bool:
        """Whether the loss has risen by more than is allowed."""
        return self.max_rise is not None and self.loss > self.base_loss + self.max_rise

    def __str__(self) -> str:
        return f"guard {self.name} {self.loss:.3f} (base {self.base_loss:.3f})"


class Guards:
    """The guard sets of a run, each the same utterances every time.

    Raises:
        ConfigError: A selection cannot be used or meets no validation utterance.
        TrainingError: A transcript is too long for the model.
    """

    def __init__(self, config: TrainConfig, whisper: Whisper, context: Context) -> None:
        self._config, self._whisper, self._context = config, whisper, context
        self._sets: dict[str, list[int]] = {}
        if not config.validation.guards:
            return
        self._data = Dataset(Path(config.dataset_path), ("validation",))
        fields = [selectable_fields(utterance) for utterance in self._data.utterances]
        known = sorted({name for row in fields for name in row})
        for guard in config.validation.guards:
            selected = compile_selection(guard.select, known)
            indices = [index for index, row in enumerate(fields) if selected(row)]
            if not indices:
                raise ConfigError(
                    f"Guard {guard.name} selects {guard.select!r}, which no validation utterance meets; "
                    "change its select or take it out."
                )
            chosen = np.random.default_rng(config.seed).permutation(indices)[: guard.max_utterances]
            self._sets[guard.name] = sorted(chosen.tolist())
            held = [self._data.utterances[i] for i in self._sets[guard.name]]
            check_texts(whisper.tokens, held, config.model_name)

    def losses(self) -> dict[str, float]:
        """Give the mean loss over the label tokens of each set; the model must be in evaluation mode."""
        return {
            name: heldout_loss(self._whisper, self._config, self._data, indices, self._context)
            for name, indices in self._sets.items()
        }

    def compare(self, base: dict[str, float]) -> list[Guarded]:
        """Give each set's loss beside the untrained model's."""
        now = self.losses()
        return [
            Guarded(guard.name, now[guard.name], base[guard.name], guard.max_rise)
            for guard in self._config.validation.guards
        ]


def broken_sentence(guarded: list[Guarded], step: int, run: Path) -> str | None:
    """Say which guard is broken and what to do; None when all hold."""
    broken = [one for one in guarded if one.is_broken]
    if not broken:
        return None
    told = "; ".join(
        f"{one.name} rose by {one.loss - one.base_loss:.3f} over the base's loss ({one.max_rise} allowed)"
        for one in broken
    )
    return (
        f"Stopped by its guard sets at step {step}: {told}; checkpoints and the best model before it are in {run}. "
        "Mix more of such data in, lower learning_rate, or raise max_rise and continue with --allow-change."
    )
