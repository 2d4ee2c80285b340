"""What the sound says at the end of a phrase: where somebody speaks, and how high.

Takes waveforms at 16 kHz; reads and writes no files.
"""

import numpy as np
import numpy.typing as npt

from rojak.audio import SAMPLE_RATE, Samples

HOP_S = 0.01
_FRAME_S = 0.04
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 400.0
_LEVEL_BELOW_PEAK_DB = 30.0
_PERIODIC = 0.5
"""Least height of the autocorrelation's peak, against that at lag 0, of a voiced frame."""

Track = npt.NDArray[np.float64]


def frames(samples: Samples) -> npt.NDArray[np.float32]:
    """Cut a waveform into overlapping frames, `(frames, samples)`, one every `HOP_S`."""
    size, hop = round(_FRAME_S * SAMPLE_RATE), round(HOP_S * SAMPLE_RATE)
    padded = np.pad(samples, (0, max(0, size - len(samples))))
    return np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]


def level_db(cut: npt.NDArray[np.float32]) -> Track:
    """Give each frame's level, dB of full scale."""
    level: Track = 10 * np.log10(np.square(cut, dtype=np.float64).mean(axis=1) + 1e-12)
    return level


def speech_active(cut: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Mark the frames that are loud enough to be speech: within 30 dB of the clip's loud frames."""
    level = level_db(cut)
    active: npt.NDArray[np.bool_] = level > np.percentile(level, 95) - _LEVEL_BELOW_PEAK_DB
    return active


def pitch_semitones(cut: npt.NDArray[np.float32]) -> Track:
    """Give each frame's pitch in semitones above 1 Hz by autocorrelation; NaN where nothing is voiced."""
    size = cut.shape[1]
    windowed = (cut - cut.mean(axis=1, keepdims=True)) * np.hanning(size)
    power = np.abs(np.fft.rfft(windowed, 2 * size, axis=1)) ** 2
    correlation = np.fft.irfft(power, axis=1)[:, :size]
    shortest, longest = int(SAMPLE_RATE / _HIGHEST_HZ), min(size - 1, int(SAMPLE_RATE / _LOWEST_HZ))
    inside = correlation[:, shortest : longest + 1]
    best = inside.argmax(axis=1)
    height = inside[np.arange(len(inside)), best] / np.maximum(correlation[:, 0], 1e-9)
    pitch = 12 * np.log2(SAMPLE_RATE / (best + shortest))
    return np.where((height > _PERIODIC) & speech_active(cut), pitch, np.nan)
