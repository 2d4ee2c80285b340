"""Noise and room responses from folders of recordings.

Reads any audio below the folders; the newest decoded ones stay in memory, a few dozen MB in each process.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from rojak.audio import Samples, decode_audio
from rojak.data.noise import fit_length
from rojak.data.sources import AUDIO_SUFFIXES
from rojak.errors import InputError

MAX_NOISE_S = 60.0
MAX_RESPONSE_S = 4.0
SILENCE = 1e-4
"""Samples below this at the ends of a recording are padding."""


@lru_cache(maxsize=16)
def list_recordings(folders: tuple[str, ...]) -> tuple[Path, ...]:
    """List the recordings in folders and those below, in an order that does not depend on the machine.

    Raises:
        InputError: A folder does not exist or holds none.
    """
    found: list[Path] = []
    for folder in folders:
        here = Path(folder)
        paths = sorted(p for p in here.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES and p.is_file())
        if not paths:
            problem = "holds no recordings" if here.is_dir() else "is no folder"
            raise InputError(f"{folder}: {problem}; noise_dirs and room_dirs need folders of audio files.")
        found += paths
    return tuple(found)


def recorded_noise(folders: tuple[str, ...], num_samples: int, rng: np.random.Generator) -> Samples:
    """Take a random stretch of a random recording; a short one goes round.

    Raises:
        InputError: There is none, or the one drawn is silent or cannot be decoded.
    """
    paths = list_recordings(folders)
    noise = _read_noise(paths[int(rng.integers(len(paths)))])
    start = int(rng.integers(len(noise)))
    return fit_length(np.roll(noise, -start), num_samples)


def recorded_room(folders: tuple[str, ...], rng: np.random.Generator) -> Samples:
    """Take a random room response: direct sound at sample 0, unit energy.

    Raises:
        InputError: There is none, or the one drawn is silent or cannot be decoded.
    """
    paths = list_recordings(folders)
    return _read_response(paths[int(rng.integers(len(paths)))])


@lru_cache(maxsize=64)
def _read_noise(path: Path) -> Samples:
    samples = decode_audio(path, max_seconds=MAX_NOISE_S).samples
    loud = np.flatnonzero(np.abs(samples) > SILENCE)
    if not len(loud):
        raise InputError(f"{path}: is silent; take it out of the noise folder.")
    return samples[loud[0] : loud[-1] + 1]


@lru_cache(maxsize=64)
def _read_response(path: Path) -> Samples:
    samples = decode_audio(path, max_seconds=MAX_RESPONSE_S).samples
    energy = float(np.sum(np.square(samples, dtype=np.float64)))
    if not energy > 0.0:
        raise InputError(f"{path}: is silent; take it out of the folder of room responses.")
    response = samples[int(np.argmax(np.abs(samples))) :]
    unit: Samples = (response / np.sqrt(np.sum(np.square(response, dtype=np.float64)))).astype(np.float32)
    return unit
