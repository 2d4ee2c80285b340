"""The synthetic speakers: 480 fixed people, each the same in every corpus, every language and every seed.

A speaker is a libespeak-ng voice variant with pitch, pitch range and rate, a length of the vocal tract (by resampling)
and a spectral tilt. A speaker belongs to one split for good, so that no test speaker was ever heard in any training.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rojak.data.espeak import Voice

if TYPE_CHECKING:  # every speaking process imports this module and has no other use for pydantic
    from rojak.records import Split

MIN_SPEAKERS = 24
MAX_SPEAKERS = 480

_VARIANTS = (
    ("m1", 50), ("f1", 50), ("m3", 50), ("f2", 50), ("m7", 45), ("f3", 50), ("Alex", 50), ("Annie", 50),
    ("", 45), ("f4", 50), ("m2", 50), ("m6", 50), ("m4", 50), ("linda", 50), ("adam", 45), ("steph", 50),
)  # fmt: skip
"""Voice variant and its middle pitch: clear voices, no robots and no whisper."""

_TEST_PLACES = (3, 10, 14, 21)
_VALIDATION_PLACES = (6, 12, 17)


@dataclass(frozen=True)
class SyntheticSpeaker:
    """A voice and what is done to its sound: `tract` > 1 is a shorter vocal tract, `tilt` > 0 dulls."""

    index: int
    speaker_id: str
    split: "Split"
    voice: Voice
    tract: float
    tilt: float


def build_speakers(num_speakers: int) -> tuple[SyntheticSpeaker, ...]:
    """Build the first `num_speakers` speakers; of every 24, 4 are for test, 3 for validation, 17 for training."""
    return tuple(build_speaker(index) for index in range(num_speakers))


def build_speaker(index: int) -> SyntheticSpeaker:
    """Build one speaker from the fixed pool; the same index is the same person everywhere."""
    rng = np.random.default_rng([20_260_101, index])
    variant, pitch = _VARIANTS[index % len(_VARIANTS)]
    place = index % MIN_SPEAKERS
    split: Split = "test" if place in _TEST_PLACES else "validation" if place in _VALIDATION_PLACES else "train"
    voice = Voice(
        variant=variant,
        pitch=int(np.clip(pitch + rng.integers(-18, 19), 5, 90)),
        pitch_range=int(rng.integers(35, 70)),
        rate=int(rng.integers(110, 160)),
    )
    tract = float(np.round(rng.uniform(0.94, 1.07), 3))
    return SyntheticSpeaker(index, f"spk-{index:03d}", split, voice, tract, float(np.round(rng.uniform(-0.2, 0.25), 3)))
