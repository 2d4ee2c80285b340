"""Change the audio of a training sample: speed, room, noise, gain, channel; and mask its features (SpecAugment).

Takes and gives float32 mono 16 kHz arrays; reads the folders of noise and rooms that a stage names. Every random
number of a sample comes from (seed, epoch, audio_id), so a run gives the same sounds with any number of workers.
"""

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import soxr
import torch

from rojak.audio import SAMPLE_RATE
from rojak.config.schema import AugmentConfig
from rojak.data.noise import babble, mains_hum, mix_at_snr, pink_noise, reverberate, room_response
from rojak.features.channel import CHANNELS
from rojak.features.mel import WINDOW_SECONDS
from rojak.features.recordings import recorded_noise, recorded_room

Samples = npt.NDArray[np.float32]
BABBLE_VOICES = 4
NOISE_KINDS = ("babble", "pink", "hum")


def sample_rng(seed: int, epoch: int, audio_id: str) -> np.random.Generator:
    """Give the random numbers of one sample in one epoch, whatever the worker, the process or the order."""
    return np.random.default_rng((seed, epoch, zlib.crc32(audio_id.encode())))


def draw_speed(config: AugmentConfig, rng: np.random.Generator, duration_s: float) -> float:
    """Give the sample's speed factor; among the first numbers drawn, so that the planner can know it too.

    Nothing is slowed down beyond Whisper's window: its last words would be cut off, and still stand in the label.
    """
    return _draw_start(config, rng, duration_s)[1]


def _draw_start(config: AugmentConfig, rng: np.random.Generator, duration_s: float) -> tuple[bool, float]:
    """Give whether the sample is left clean, and its speed."""
    if config.clean_share and rng.random() < config.clean_share:
        return True, 1.0
    low, high = config.speed
    speed = float(rng.uniform(low, high)) if high > low else low
    return False, max(speed, min(1.0, duration_s / WINDOW_SECONDS))


def augment(
    samples: Samples,
    config: AugmentConfig,
    rng: np.random.Generator,
    draw_voices: Callable[[np.random.Generator, int], list[Samples]],
) -> Samples:
    """Apply what the configuration asks for, in the order in which it happens to real speech.

    Args:
        samples: The recording.
        config: Shares and ranges.
        rng: The sample's own, fresh.
        draw_voices: Gives recordings of other speakers for babble.
    """
    is_clean, speed = _draw_start(config, rng, len(samples) / SAMPLE_RATE)
    if is_clean:
        return samples
    if speed != 1.0:
        samples = soxr.resample(samples, SAMPLE_RATE * speed, SAMPLE_RATE).astype(np.float32)
    if config.reverb_share and rng.random() < config.reverb_share:
        room = recorded_room(config.room_dirs, rng) if config.room_dirs else room_response(rng)
        samples = reverberate(samples, room)
    if config.noise_share and rng.random() < config.noise_share:
        kind = config.noise_kinds[int(rng.integers(len(config.noise_kinds)))]
        if kind == "recorded":
            noise = recorded_noise(config.noise_dirs, len(samples), rng)
        else:
            noise = make_noise(kind, len(samples), rng, draw_voices)
        samples = mix_at_snr(samples, noise, float(rng.uniform(*config.noise_snr_db)))
    low, high = config.gain_db
    if high > low:
        samples = samples * np.float32(10 ** (rng.uniform(low, high) / 20))
    if config.channel_share and rng.random() < config.channel_share:
        samples = CHANNELS[config.channels[int(rng.integers(len(config.channels)))]](samples)
    peak = float(np.abs(samples).max(initial=0.0))
    return samples / np.float32(peak) if peak > 1.0 else samples


def make_noise(
    kind: str,
    num_samples: int,
    rng: np.random.Generator,
    draw_voices: Callable[[np.random.Generator, int], list[Samples]],
) -> Samples:
    """Make background noise of a kind: `babble` out of other recordings, `pink`, or `hum` of the mains."""
    if kind == "babble":
        voices = draw_voices(rng, BABBLE_VOICES)
        return babble(voices, num_samples, rng) if voices else pink_noise(num_samples, rng)
    return {"pink": pink_noise, "hum": mains_hum}[kind](num_samples, rng)


def mask_features(
    mel: torch.Tensor, config: AugmentConfig, seeds: Sequence[int], num_frames: Sequence[int]
) -> torch.Tensor:
    """Mask stretches of time and bands of frequency with the clip's mean (SpecAugment; Park et al., 2019).

    Args:
        mel: `(batch, mels, frames)`.
        config: Numbers and widths of the masks.
        seeds: Of each window; masks are drawn on the CPU, so that every device and every batch gives the same.
        num_frames: Frames of each window; what lies behind is padding.
    """
    if not config.time_masks and not config.frequency_masks:
        return mel
    batch, num_mels, frames = mel.shape
    hidden = np.zeros((batch, num_mels, frames), dtype=bool)
    widest = max(1, round(config.time_mask_seconds * 100))
    for clip, seed, own_frames in zip(hidden, seeds, num_frames, strict=True):
        rng = np.random.default_rng(seed)
        for _ in range(config.time_masks):
            width = int(rng.integers(1, widest + 1))
            start = int(rng.integers(max(1, own_frames - width + 1)))
            clip[:, start : start + width] = True
        for _ in range(config.frequency_masks):
            width = int(rng.integers(1, min(config.frequency_mask_bins, num_mels) + 1))
            start = int(rng.integers(num_mels - width + 1))
            clip[start : start + width] = True
    mask = torch.from_numpy(hidden).to(mel.device)
    return torch.where(mask, mel.mean(dim=(1, 2), keepdim=True), mel)
