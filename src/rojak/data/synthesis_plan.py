"""What a synthetic corpus will hold: from its settings every sentence, speaker and noise, before anything is spoken.

Pure: the plan is a function of hours, seed and settings. Reads and writes no files.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rojak.data.sentences import Sentence
from rojak.data.speakers import MAX_SPEAKERS, MIN_SPEAKERS, SyntheticSpeaker, build_speakers
from rojak.data.switching import mixed_sentence, monolingual_sentence
from rojak.errors import ConfigError
from rojak.records import LANGUAGES, SPLITS, Split

BLOCK_SIZE = 100
"""Utterances spoken by one process. Part of what decides the bytes."""

KINDS = (*LANGUAGES, "mixed")
SNR_BUCKETS_DB = ((5.0, 10.0), (10.0, 15.0), (15.0, 20.0), (20.0, 25.0))
"""Added noise is drawn evenly over these buckets: from a busy street to a quiet office."""

ENVIRONMENTS = {"babble": 0.28, "pink": 0.22, "hum": 0.14, "reverb+pink": 0.18, "reverb+babble": 0.12, "hum+pink": 0.06}
"""What is laid over a noisy utterance, and how often."""

_SPLIT_HOURS: dict[Split, float] = {"train": 0.80, "validation": 0.08, "test": 0.12}
_CROWD_SIZE = 6

_SECONDS_A_LETTER = {"ms": 0.0855, "en": 0.0815, "zh": 0.295, "ta": 0.078, "particle": 0.131, "other": 0.088}
_SECONDS_A_CLIP = 0.49
"""Fitted to clips spoken at 150 words a minute; only sizes the plan."""


@dataclass(frozen=True)
class Settings:
    """What kind of corpus to make.

    Attributes:
        kinds: Shares of utterances by language, `ms en zh ta mixed`; need not sum to 1.
        particle_share: Share of monolingual Malay and English sentences that get particles.
        mixed_particle_share: The same for code-switched sentences.
        noisy_share: Share of utterances with added noise at a known ratio.
        num_speakers: How many of the 480 fixed speakers are heard, at least 24.
    """

    kinds: dict[str, float] = field(
        default_factory=lambda: {"ms": 0.2, "en": 0.2, "zh": 0.12, "ta": 0.12, "mixed": 0.36}
    )
    particle_share: float = 0.25
    mixed_particle_share: float = 0.5
    noisy_share: float = 0.25
    num_speakers: int = 48


CLEAN_MONOLINGUAL = Settings(
    kinds={"ms": 0.25, "en": 0.25, "zh": 0.25, "ta": 0.25}, particle_share=0.0, noisy_share=0.0
)
"""What the base model learns from: four languages, each by itself, no particles, no noise."""


def check_settings(hours: float, seed: int, settings: Settings) -> None:
    """Refuse what cannot be made.

    Raises:
        ConfigError: Names the setting and what is allowed.
    """
    if not 0 < hours <= 10_000:
        raise ConfigError(f"hours is {hours}; it must be above 0 and at most 10000.")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be a whole number from 0.")
    unknown = [kind for kind in settings.kinds if kind not in KINDS]
    if unknown:
        raise ConfigError(f"kinds has '{unknown[0]}'; allowed are {', '.join(KINDS)}.")
    if not all(0 <= share < math.inf for share in settings.kinds.values()) or sum(settings.kinds.values()) <= 0:
        raise ConfigError("kinds must be shares from 0, and at least one of them above 0.")
    for name in ("particle_share", "mixed_particle_share", "noisy_share"):
        if not 0 <= getattr(settings, name) <= 1:
            raise ConfigError(f"{name} is {getattr(settings, name)}; it must be from 0 to 1.")
    if not MIN_SPEAKERS <= settings.num_speakers <= MAX_SPEAKERS:
        raise ConfigError(f"num_speakers is {settings.num_speakers}; it must be from {MIN_SPEAKERS} to {MAX_SPEAKERS}.")


@dataclass(frozen=True)
class PlannedUtterance:
    """A sentence and how it will be spoken; `environment` and `snr_db` only for noisy ones."""

    audio_id: str
    sentence: Sentence
    speaker: SyntheticSpeaker
    environment: str | None = None
    snr_db: float | None = None

    def to_block_item(self) -> dict[str, Any]:
        """Give what `render.render_block` needs."""
        item = {"audio_id": self.audio_id, "speaker": self.speaker.index, "words": self.sentence.words}
        return item if self.environment is None else item | {"environment": self.environment, "snr_db": self.snr_db}


def plan_split(split: Split, hours: float, seed: int, settings: Settings) -> list[PlannedUtterance]:
    """Draw a split's utterances until their estimated length is reached; a pure function of its arguments."""
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    speakers = [speaker for speaker in build_speakers(settings.num_speakers) if speaker.split == split]
    items: list[PlannedUtterance] = []
    left_s = hours * 3600 * _SPLIT_HOURS[split]
    while left_s > 0 or not items:
        if len(items) % len(speakers) == 0:
            order = rng.permutation(len(speakers))
        speaker = speakers[order[len(items) % len(speakers)]]
        sentence = _draw_sentence(split, rng, settings)
        environment, snr_db = None, None
        if rng.random() < settings.noisy_share:
            environment = list(ENVIRONMENTS)[rng.choice(len(ENVIRONMENTS), p=list(ENVIRONMENTS.values()))]
            snr_db = round(float(rng.uniform(*SNR_BUCKETS_DB[rng.integers(len(SNR_BUCKETS_DB))])), 2)
        items.append(PlannedUtterance(f"{split}-{len(items):06d}", sentence, speaker, environment, snr_db))
        left_s -= _estimate_seconds(sentence, speaker)
    return items


def _draw_sentence(split: Split, rng: np.random.Generator, settings: Settings) -> Sentence:
    """Draw sentences of one kind until one belongs to the split."""
    kinds = [kind for kind in KINDS if settings.kinds.get(kind)]  # in our order, whatever the order they came in
    shares = np.array([settings.kinds[kind] for kind in kinds])
    kind = kinds[rng.choice(len(shares), p=shares / shares.sum())]
    while True:
        if kind == "mixed":
            sentence = mixed_sentence(rng, settings.mixed_particle_share)
        else:
            sentence = monolingual_sentence(kind, rng, settings.particle_share)  # type: ignore[arg-type]
        if sentence.split == split:
            return sentence


def _estimate_seconds(sentence: Sentence, speaker: SyntheticSpeaker) -> float:
    letters_s = sum(_SECONDS_A_LETTER[language] * len(word) for word, language in sentence.words)
    return _SECONDS_A_CLIP + letters_s * 150 / speaker.voice.rate / speaker.tract


def build_block(
    items: Sequence[PlannedUtterance], start: int, audio_dir: Path, seed: int, num_speakers: int
) -> dict[str, Any]:
    """Take `BLOCK_SIZE` utterances of a split, and a crowd of the split's speakers for their babble."""
    rng = np.random.default_rng([seed, start])
    block = items[start : start + BLOCK_SIZE]
    speakers = [speaker for speaker in build_speakers(num_speakers) if speaker.split == block[0].speaker.split]
    crowd = []
    for number, index in enumerate(rng.permutation(len(speakers))[:_CROWD_SIZE]):
        item = items[int(rng.integers(len(items)))]
        crowd.append(PlannedUtterance(f"crowd-{number}", item.sentence, speakers[index]).to_block_item())
    return {
        "seed": seed,
        "audio_dir": str(audio_dir),
        "items": [item.to_block_item() for item in block],
        "crowd": crowd,
    }
