"""Turn planned windows into tensors: read audio, augment, lay clips into windows, write decoder inputs and labels.

Reads prepared shards; runs in loader workers. Everything random is a function
of (seed, epoch, audio_id).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from rojak.audio import SAMPLE_RATE
from rojak.config.schema import AugmentConfig, TrainConfig
from rojak.data.dataset import Dataset, prompt_language
from rojak.data.noise import mains_hum, pink_noise
from rojak.features.augment import augment, draw_speed, sample_rng
from rojak.features.mel import SAMPLES_PER_POSITION
from rojak.features.recordings import recorded_noise
from rojak.features.windows import Window, on_grid
from rojak.model.labels import label
from rojak.model.whisper import SpeechTokens
from rojak.records import LANGUAGES, Utterance
from rojak.train.script import Script, empty_script, lay_out, token_times, token_weights, with_previous_text

NONSPEECH_DBFS = (-60.0, -20.0)
"""Range of the level of a window without speech; one in five is digital silence."""


@dataclass(frozen=True)
class Batch:
    """A micro-batch on its way to the device.

    `waveforms` is `(batch, samples)` float32; `inputs` and `labels` are `(batch, tokens)` int64; `times`,
    `(batch, tokens, 2)`, holds the start and end second of each label, -1 where unknown; `weights`, `(batch, tokens)`,
    how much each label counts, 0 where nothing is learnt. `mask_seeds` and `num_frames` hold, for each window, the
    seed of its SpecAugment masks and the mel frames that they may touch; `audio_ids` the clips in it.
    """

    waveforms: torch.Tensor
    inputs: torch.Tensor
    labels: torch.Tensor
    times: torch.Tensor
    weights: torch.Tensor
    mask_seeds: tuple[int, ...]
    num_frames: tuple[int, ...]
    audio_ids: tuple[tuple[str, ...], ...]
    speech_s: float
    padded_s: float

    def pin_memory(self) -> "Batch":
        """Move the tensors to where a GPU copies them from while it computes; torch's loader calls this."""
        tensors = ("waveforms", "inputs", "labels", "times", "weights")
        return replace(self, **{name: getattr(self, name).pin_memory() for name in tensors})

    def clips(self) -> tuple[str, ...]:
        """Give the audio ids of all clips, in order."""
        return tuple(audio_id for window in self.audio_ids for audio_id in window)

    def clips_not_finite(self, rows: slice, losses: torch.Tensor) -> tuple[str, ...]:
        """Name the clips of the windows in which a token's loss is NaN or infinite; all clips when there is none.

        Args:
            rows: Windows that were computed.
            losses: `(label tokens of those windows,)`, in reading order.
        """
        row_of_token = (self.weights[rows] > 0).nonzero()[:, 0]
        bad = sorted(set(row_of_token[~losses.detach().isfinite().cpu()].tolist()))
        return tuple(audio_id for row in bad for audio_id in self.audio_ids[rows][row]) or self.clips()


class BatchBuilder:
    """Builds batches from one split."""

    def __init__(self, data: Dataset, tokens: SpeechTokens, config: TrainConfig) -> None:
        self._data = data
        self._tokens = tokens
        self._mixed = config.mixed_language_token
        self._seed = config.seed
        self._loss = config.loss
        self._previous = _previous_of_speaker(data.utterances)

    def build(self, windows: Sequence[Window], augmentation: AugmentConfig, epoch: int) -> Batch:
        """Build the tensors of one micro-batch.

        A packed window takes the language token of its longest clip. With `timestamps`, each clip's text stands between
        its start and end time, as in Whisper's own training data.
        """
        length_s = max(window.length_s for window in windows)
        waveforms = np.zeros((len(windows), _num_samples(length_s)), np.float32)
        scripts = [self._fill(row, window, augmentation, epoch) for row, window in zip(waveforms, windows, strict=True)]
        inputs, labels, times, weights = lay_out(scripts, self._tokens.end)
        return Batch(
            waveforms=torch.from_numpy(waveforms),
            inputs=inputs,
            labels=labels,
            times=times,
            weights=weights,
            mask_seeds=tuple(self._mask_seed(window, epoch) for window in windows),
            num_frames=tuple(2 * (_num_samples(_sounding_s(window)) // SAMPLES_PER_POSITION) for window in windows),
            audio_ids=tuple(
                tuple(self._data.utterances[clip.index].audio_id for clip in window.clips) for window in windows
            ),
            speech_s=sum(window.speech_s for window in windows),
            padded_s=len(windows) * length_s,
        )

    def _fill(self, row: np.ndarray, window: Window, augmentation: AugmentConfig, epoch: int) -> Script:
        """Write the window's audio into `row`; give its token sequence."""
        if not window.clips:
            return self._fill_without_speech(row, window, augmentation, epoch)
        longest = max(window.clips, key=lambda clip: clip.duration)
        language = prompt_language(self._data.utterances[longest.index], self._mixed)
        script = Script()
        script.add(self._tokens.prompt(language, timestamps=window.timestamps))
        position = 0
        for clip in window.clips:
            utterance = self._data.utterances[clip.index]
            speed = draw_speed(augmentation, sample_rng(self._seed, epoch, utterance.audio_id), utterance.duration)
            rng = sample_rng(self._seed, epoch, utterance.audio_id)
            samples = augment(
                self._data.read_audio(clip.index), augmentation, rng, self._data.voices_beside(clip.index)
            )
            samples = samples[: len(row) - position]
            row[position : position + len(samples)] = samples
            text, places, language = label(self._tokens, utterance, language)
            if window.timestamps:
                script.add([self._tokens.timestamp(position / SAMPLE_RATE)])
            times = token_times(utterance, places, position / SAMPLE_RATE, speed)
            script.add(text, times, token_weights(utterance, places, self._loss))
            position += len(samples)
            if window.timestamps:
                script.add([self._tokens.timestamp(position / SAMPLE_RATE)])
        script.add([self._tokens.end])
        if window.previous_text:
            before = self._previous[window.clips[0].index]
            text = [] if before is None else self._tokens.encode(self._data.utterances[before].text)
            script = with_previous_text(script, text, self._tokens)
        return script

    def _fill_without_speech(self, row: np.ndarray, window: Window, augmentation: AugmentConfig, epoch: int) -> Script:
        rng = np.random.default_rng((self._seed, epoch, window.sound_seed))
        language = LANGUAGES[int(rng.integers(len(LANGUAGES)))]
        if rng.random() >= 0.2:
            num_samples = min(_num_samples(window.length_s), len(row))
            if augmentation.noise_dirs:
                sound = recorded_noise(augmentation.noise_dirs, num_samples, rng)
            else:
                sound = (pink_noise, mains_hum)[int(rng.integers(2))](num_samples, rng)
            level = 10 ** (rng.uniform(*NONSPEECH_DBFS) / 20)
            scale = level / max(1e-9, float(np.sqrt(np.mean(np.square(sound)))))
            row[:num_samples] = np.clip(sound * np.float32(scale), -1, 1)
        return empty_script(self._tokens, language)

    def _mask_seed(self, window: Window, epoch: int) -> int:
        if not window.clips:
            return window.sound_seed
        first = self._data.utterances[window.clips[0].index].audio_id
        # Not the numbers that draw the sound's changes: those of an epoch that no run reaches.
        return int(sample_rng(self._seed, epoch + 10**9, first).integers(2**62))


def _sounding_s(window: Window) -> float:
    return on_grid(window.speech_s) if window.clips else window.length_s


def _num_samples(length_s: float) -> int:
    return round(length_s * SAMPLE_RATE / SAMPLES_PER_POSITION) * SAMPLES_PER_POSITION


def _previous_of_speaker(utterances: Sequence[Utterance]) -> list[int | None]:
    """Give, for each utterance, the one of the same speaker and source before it, if there is one."""
    last: dict[tuple[str, str | None], int] = {}
    before: list[int | None] = []
    for index, utterance in enumerate(utterances):
        key = (utterance.speaker_id, utterance.source) if utterance.speaker_id else None
        before.append(last.get(key) if key else None)
        if key:
            last[key] = index
    return before
