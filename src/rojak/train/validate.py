"""Validation while training: decode a fixed sample of the validation split and score it.

Reads prepared shards; gives figures and a few decoded samples.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.evaluate.decode import Context, DecodeOptions
from rojak.evaluate.metrics import METRICS
from rojak.evaluate.predict import predict
from rojak.evaluate.score import ScoreOptions, score_predictions
from rojak.model.labels import check_texts
from rojak.model.whisper import Whisper
from rojak.train.heldout import heldout_loss

SHOWN = ("wer", "cer", "language_accuracy", "particle_recall")
"""Measures that every validation tells, beside the one that chooses."""
SIGNS = ("runaway_rate", "repeat_rate", "empty_rate")
OF_THE_OUTPUT = ("particle_precision", "switch_precision")
"""Measures over what was decoded; early in a run there may be nothing yet."""
NUM_SAMPLES = 8


@dataclass(frozen=True)
class ValidationResult:
    """Figures of one validation; a measure for which the data hold nothing is left out."""

    metrics: dict[str, float]
    signs: dict[str, float]
    """What `health.py` looks at besides: the loss, and the rates of runaways, repeats and empty outputs."""
    samples: list[dict[str, str]]

    def badness(self, metric: str) -> float:
        """Give the choosing measure so that less is better; the worst of all where it could not be measured."""
        value = self.metrics.get(metric)
        if value is None:
            return float("inf")
        return -value if METRICS[metric].better == "higher" else value


class Validator:
    """Holds the sample, so that every validation of a run decodes the same utterances.

    Raises:
        TrainingError: A transcript is too long for the model.
    """

    def __init__(self, config: TrainConfig, whisper: Whisper) -> None:
        self._config = config
        self._data = Dataset(Path(config.dataset_path), ("validation",))
        rng = np.random.default_rng(config.seed)
        chosen = rng.permutation(len(self._data))[: config.validation.max_utterances]
        self._indices: list[int] = sorted(chosen.tolist())
        self._whisper = whisper
        self._metric = config.validation.metric
        check_texts(whisper.tokens, [self._data.utterances[i] for i in self._indices], config.model_name)
        self.context: Context = config.validation.context or (
            "full" if config.windows.mode in ("pad", "pack") else "trim"
        )
        self._options = DecodeOptions(context=self.context, max_new_tokens=config.validation.max_new_tokens)

    def unmeasurable(self, result: ValidationResult) -> str | None:
        """Say that the sample cannot tell what is best; None where it can, or where the output alone is too poor."""
        if self._metric in result.metrics or self._metric in OF_THE_OUTPUT:
            return None
        return (
            f"None of the {len(self._indices)} validation utterances holds anything that {self._metric} could be "
            "measured on; set another validation.metric, or a larger validation.max_utterances, and continue "
            "with --allow-change."
        )

    def run(self) -> ValidationResult:
        """Decode and score; the model must be in evaluation mode."""
        rows = predict(self._whisper, self._data, self._indices, self._options)
        scores = score_predictions(rows, ScoreOptions(slices=(), resamples=0))
        signs = {name: scores.overall.metrics[name].value for name in SIGNS}
        signs["validation_loss"] = heldout_loss(
            self._whisper, self._config, self._data, self._indices, self._options.context
        )
        values = {name: scores.overall.metrics[name].value for name in dict.fromkeys((*SHOWN, self._metric))}
        stride = max(1, len(rows) // NUM_SAMPLES)
        return ValidationResult(
            metrics={name: value for name, value in values.items() if value is not None},
            signs={name: value for name, value in signs.items() if value is not None},
            samples=[
                {"reference": row.reference, "hypothesis": row.hypothesis} for row in rows[::stride][:NUM_SAMPLES]
            ],
        )
