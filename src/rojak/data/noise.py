"""Noise and rooms, made from nothing: pink noise, mains hum, babble, reverberation, and mixing at a known ratio.

Every function is pure: float32 mono arrays at 16 kHz in and out, randomness only from the `rng` it is given.
Used to make synthetic recordings and to augment real ones; reads and writes no files.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000

Wave = NDArray[np.float32]

_FRAME = SAMPLE_RATE // 50
_ACTIVE_RANGE_DB = 35.0


def speech_power(wave: Wave) -> float:
    """Give the mean power of the speech in a recording, pauses left out.

    A 20-ms frame counts as speech when its power is within 35 dB of the 95th percentile of all frames.

    Args:
        wave: Samples, shape (samples,).

    Returns:
        Mean square of the samples in active frames; 0.0 for an empty or silent recording.
    """
    if len(wave) < _FRAME:
        return float(np.mean(np.square(wave, dtype=np.float64))) if len(wave) else 0.0
    frames = wave[: len(wave) // _FRAME * _FRAME].reshape(-1, _FRAME)
    powers = np.mean(np.square(frames, dtype=np.float64), axis=1)
    loud = np.percentile(powers, 95)
    return float(powers[powers >= loud * 10 ** (-_ACTIVE_RANGE_DB / 10)].mean())


def mix_at_snr(speech: Wave, noise: Wave, snr_db: float) -> Wave:
    """Add noise to speech so that speech power (`speech_power`) over noise power (mean square) is `snr_db`.

    Args:
        speech: Samples, shape (samples,).
        noise: Samples; repeated or cut to the length of the speech.
        snr_db: Wanted ratio in decibels.

    Returns:
        The mixture, shape (samples,); the speech in it is unscaled, so it may exceed 1. Silent speech or silent
        noise has no ratio: the speech comes back as it is.
    """
    noise = fit_length(noise, len(speech))
    noise_power = float(np.mean(np.square(noise, dtype=np.float64))) if len(noise) else 0.0
    power = speech_power(speech)
    if power == 0.0 or noise_power == 0.0:
        return speech.copy()
    gain = np.sqrt(power / noise_power * 10 ** (-snr_db / 10))
    return (speech + np.float32(gain) * noise).astype(np.float32)


def fit_length(wave: Wave, num_samples: int) -> Wave:
    """Repeat or cut a recording to a number of samples."""
    if len(wave) == 0:
        return np.zeros(num_samples, np.float32)
    return np.resize(wave, num_samples) if len(wave) < num_samples else wave[:num_samples]


def pink_noise(num_samples: int, rng: np.random.Generator) -> Wave:
    """Make noise whose power falls by 3 dB an octave above 20 Hz, with unit power."""
    size = _fast_size(num_samples)
    spectrum = np.fft.rfft(rng.standard_normal(size, dtype=np.float32))
    spectrum /= np.sqrt(np.maximum(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), 20.0)).astype(np.float32)
    return _unit_power(np.fft.irfft(spectrum, size)[:num_samples])


def mains_hum(num_samples: int, rng: np.random.Generator) -> Wave:
    """Make the hum of 50-Hz mains (Malaysia's) with harmonics up to 1 kHz and a little hiss, with unit power."""
    time_s = np.arange(num_samples, dtype=np.float64) / SAMPLE_RATE
    base_hz = 50.0 + rng.uniform(-0.3, 0.3)
    orders = np.arange(1, 21)
    amplitudes = rng.uniform(0.2, 1.0, len(orders)) / orders**0.7
    phases = rng.uniform(0, 2 * np.pi, len(orders))
    turn = np.exp(2j * np.pi * base_hz * time_s)
    waves = np.zeros(num_samples, np.complex128)
    for harmonic in (amplitudes * np.exp(1j * phases))[::-1]:  # Horner's rule: its k-th power is the k-th harmonic
        waves += harmonic
        waves *= turn
    return _unit_power(waves.imag + 0.05 * rng.standard_normal(num_samples))


def babble(voices: Sequence[Wave], num_samples: int, rng: np.random.Generator) -> Wave:
    """Lay recordings of other speakers over each other, each from a random place on, with unit power.

    Args:
        voices: At least one recording, each shape (samples,); three to six make a crowd.
        num_samples: Length of the babble.
        rng: Source of the places where the voices start.
    """
    crowd = np.zeros(num_samples, np.float32)
    for voice in voices:
        level = np.sqrt(speech_power(voice))
        if level > 0.0:
            crowd += fit_length(np.roll(voice, int(rng.integers(len(voice)))), num_samples) / np.float32(level)
    return _unit_power(crowd)


def room_response(rng: np.random.Generator, *, decay_s: tuple[float, float] = (0.15, 0.6)) -> Wave:
    """Make the impulse response of a room: the direct sound, a few early echoes, and an exponentially falling tail.

    Args:
        rng: Source of the room.
        decay_s: Range from which the time to fall by 60 dB is drawn.

    Returns:
        The response, shape (samples,), with the direct sound at sample 0 and unit energy.
    """
    rt60_s = rng.uniform(*decay_s)
    num_samples = int(rt60_s * SAMPLE_RATE)
    time_s = np.arange(num_samples, dtype=np.float32) / SAMPLE_RATE
    tail_start = int(0.02 * SAMPLE_RATE)
    tail = rng.standard_normal(num_samples, dtype=np.float32) * np.exp(-6.9 * time_s / rt60_s).astype(np.float32)
    tail[:tail_start] = 0.0
    response = tail * np.float32(rng.uniform(0.01, 0.035))
    response[0] = 1.0
    early = rng.integers(int(0.002 * SAMPLE_RATE), int(0.03 * SAMPLE_RATE), size=6)
    response[early] += rng.uniform(-0.35, 0.35, size=6).astype(np.float32)
    unit: Wave = (response / np.sqrt(np.sum(np.square(response)))).astype(np.float32)
    return unit


def reverberate(wave: Wave, response: Wave) -> Wave:
    """Let a recording sound in a room; same length, the tail after its end is cut.

    Args:
        wave: Samples, shape (samples,).
        response: Impulse response with the direct sound at sample 0, so that word times stay right.
    """
    size = _fast_size(len(wave) + len(response) - 1)
    return np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(response, size), size)[: len(wave)].astype(np.float32)


def _unit_power(wave: NDArray[np.floating]) -> Wave:
    power = float(np.mean(np.square(wave, dtype=np.float64))) if len(wave) else 0.0
    return (wave / np.sqrt(power) if power > 0.0 else wave).astype(np.float32)


def _fast_size(num_samples: int) -> int:
    """Give the next power of two, for a fast transform."""
    return 1 << max(num_samples - 1, 1).bit_length()
