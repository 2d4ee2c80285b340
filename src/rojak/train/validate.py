"""Validation while training: decode a fixed sample of the validation split and score it.

Reads prepared shards; gives figures and a few decoded samples.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.evaluate.align import edit_distance
from rojak.evaluate.decode import ClipToDecode, Context, DecodeOptions, decode_clips
from rojak.model.whisper import Whisper
from rojak.text.normalize import normalize
from rojak.text.units import words
from rojak.train.batch import token_language


@dataclass(frozen=True)
class ValidationResult:
    metrics: dict[str, float]
    samples: list[dict[str, str]]


class Validator:
    def __init__(self, config: TrainConfig, whisper: Whisper) -> None:
        self._data = Dataset(Path(config.dataset_path), ("validation",))
        rng = np.random.default_rng(config.seed)
        self._indices = sorted(rng.permutation(len(self._data))[: config.validation.max_utterances].tolist())
        self._whisper = whisper
        self._mixed = config.mixed_language_token
        context: Context = config.validation.context or ("full" if config.windows.mode == "pad" else "trim")
        self._options = DecodeOptions(context=context)

    def _clips(self) -> Iterator[ClipToDecode]:
        for index in self._indices:
            language = token_language(self._data.utterances[index], self._mixed)
            yield ClipToDecode(index, self._data.read_audio(index), language)

    def run(self) -> ValidationResult:
        errors = total = 0
        samples = []
        for decoded in decode_clips(self._whisper, self._clips(), self._options):
            u = self._data.utterances[decoded.index]
            reference, hypothesis = words(normalize(u.text)), words(normalize(decoded.text))
            errors += edit_distance(reference, hypothesis); total += len(reference)
            samples.append({"reference": u.text, "hypothesis": decoded.text})
        return ValidationResult({"wer": errors / total}, samples[:8])
