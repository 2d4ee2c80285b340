"""Turn planned windows into tensors: read audio, augment, lay clips into windows, write decoder inputs and labels.

Reads prepared shards; runs in loader workers. Everything random is a function
of (seed, epoch, audio_id).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rojak.audio import SAMPLE_RATE
from rojak.config.schema import AugmentConfig
from rojak.data.dataset import Dataset, prompt_language
from rojak.features.augment import augment, sample_rng
from rojak.features.mel import SAMPLES_PER_POSITION
from rojak.features.windows import Window
from rojak.model.labels import label, locate_words
from rojak.model.whisper import IGNORED, SpeechTokens
from rojak.records import Utterance

UNKNOWN = (-1.0, -1.0)
"""Time of a token that is not in the recording, or whose time is not known."""


@dataclass(frozen=True)
class Batch:
    """A micro-batch on its way to the device.

    `waveforms` is `(batch, samples)` float32; `inputs` and `labels` are `(batch, tokens)` int64; `times`,
    `(batch, tokens, 2)`, holds the start and end second of each label, -1 where unknown.
    """

    waveforms: torch.Tensor
    inputs: torch.Tensor
    labels: torch.Tensor
    times: torch.Tensor
    audio_ids: tuple[str, ...]
    speech_s: float
    padded_s: float


class BatchBuilder:
    """Builds batches from one training split."""

    def __init__(self, data: Dataset, tokens: SpeechTokens, mixed_language_token: str, seed: int) -> None:
        self._data = data
        self._tokens = tokens
        self._mixed = mixed_language_token
        self._seed = seed

    def build(self, windows: Sequence[Window], augmentation: AugmentConfig, epoch: int) -> Batch:
        """Build the tensors of one micro-batch.

        A packed window takes the language token of its longest clip. With `timestamps`, each clip's text stands between
        its start and end time, as in Whisper's own training data.
        """
        length_s = max(window.length_s for window in windows)
        num_samples = round(length_s * SAMPLE_RATE / SAMPLES_PER_POSITION) * SAMPLES_PER_POSITION
        waveforms = np.zeros((len(windows), num_samples), np.float32)
        sequences: list[list[int]] = []
        times: list[list[tuple[float, float]]] = []
        ids: list[str] = []
        for row, window in zip(waveforms, windows, strict=True):
            sequence, spans = self._fill(row, window, augmentation, epoch)
            sequences.append(sequence)
            times.append(spans)
            ids += [self._data.utterances[clip.index].audio_id for clip in window.clips]
        inputs, labels = _shift(sequences, self._tokens.end)
        return Batch(
            waveforms=torch.from_numpy(waveforms),
            inputs=inputs,
            labels=labels,
            times=_lay_out(times, labels.shape[1]),
            audio_ids=tuple(ids),
            speech_s=sum(window.speech_s for window in windows),
            padded_s=len(windows) * length_s,
        )

    def _fill(
        self, row: np.ndarray, window: Window, augmentation: AugmentConfig, epoch: int
    ) -> tuple[list[int], list[tuple[float, float]]]:
        """Write the window's audio into `row`; give its whole token sequence and each token's time."""
        longest = max(window.clips, key=lambda clip: clip.duration)
        language = prompt_language(self._data.utterances[longest.index], self._mixed)
        sequence = self._tokens.prompt(language, timestamps=window.timestamps)
        times = [UNKNOWN] * len(sequence)
        position = 0
        for clip in window.clips:
            utterance = self._data.utterances[clip.index]
            rng = sample_rng(self._seed, epoch, utterance.audio_id)
            samples = augment(
                self._data.read_audio(clip.index), augmentation, rng, self._data.voices_beside(clip.index)
            )
            samples = samples[: len(row) - position]
            row[position : position + len(samples)] = samples
            text, places, language = label(self._tokens, utterance, language)
            spans = token_times(utterance, places, position / SAMPLE_RATE)
            if window.timestamps:
                start, end = position / SAMPLE_RATE, (position + len(samples)) / SAMPLE_RATE
                text = [self._tokens.timestamp(start), *text, self._tokens.timestamp(end)]
                spans = [UNKNOWN, *spans, UNKNOWN]
            sequence += text
            times += spans
            position += len(samples)
        return [*sequence, self._tokens.end], [*times, UNKNOWN]


def _shift(sequences: Sequence[Sequence[int]], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give decoder inputs (all but the last token) and labels (all but the first, which is the start token)."""
    length = max(len(sequence) for sequence in sequences) - 1
    inputs = torch.full((len(sequences), length), padding)
    labels = torch.full((len(sequences), length), IGNORED)
    for row, sequence in enumerate(sequences):
        tokens = torch.tensor(sequence)
        inputs[row, : len(sequence) - 1] = tokens[:-1]
        labels[row, : len(sequence) - 1] = tokens[1:]
    return inputs, labels


def token_times(
    utterance: Utterance, places: Sequence[tuple[int, int] | None], offset_s: float
) -> list[tuple[float, float]]:
    """Give each label token's start and end in the window, by its characters' share of its word.

    A token without a known time gets `UNKNOWN`. Times are those of the recording; they do not follow a changed speed.
    """
    words = utterance.words or ()
    known = []
    for word, span in zip(words, locate_words(utterance.text.strip(), words) or (), strict=False):
        if word.start is None or word.end is None:
            return [UNKNOWN] * len(places)
        known.append((span.start, span.end, word.start, word.end))
    times = []
    for place in places:
        owner = next((word for word in known if place and word[0] <= place[0] < word[1]), None)
        if owner is None or place is None:
            times.append(UNKNOWN)
            continue
        first, last, begins_s, ends_s = owner
        pace = (ends_s - begins_s) / (last - first)
        starts_s = offset_s + begins_s + (place[0] - first) * pace
        times.append((starts_s, starts_s + max(1, place[1] - place[0]) * pace))
    return times


def _lay_out(times: Sequence[Sequence[tuple[float, float]]], length: int) -> torch.Tensor:
    """Lay token times beside the labels, which are the sequence without its first token."""
    laid = torch.full((len(times), length, 2), UNKNOWN[0])
    for row, spans in enumerate(times):
        laid[row, : len(spans) - 1] = torch.tensor(spans[1:])
    return laid
