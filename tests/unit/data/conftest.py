"""Small corpora made on the spot."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

Samples = npt.NDArray[np.float32]
MakeSpeech = Callable[..., Samples]


def speech_like(seconds: float = 1.0, *, seed: int = 0, rate: int = 16_000) -> Samples:
    """A buzzing voice with syllables and pauses over a faint hiss; different for every seed."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    pitch = rng.uniform(90, 220)
    voice = sum(np.sin(2 * np.pi * pitch * k * t + rng.uniform(0, 6)) / k for k in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * rng.uniform(2.5, 4) * t + rng.uniform(0, 6)), 0, None)
    return (0.2 * voice * syllables + 1e-4 * rng.standard_normal(len(t))).astype(np.float32)


@pytest.fixture(scope="session")
def make_speech() -> MakeSpeech:
    return speech_like


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[..., Path]:
    """Write `num_clips` clips of as many speakers as `DIR/transcripts.json` + audio; give the folder."""

    def make(num_clips: int = 6, *, name: str = "corpus", speakers: int | None = None, suffix: str = ".flac") -> Path:
        root = tmp_path / name
        (root / "audio").mkdir(parents=True)
        items: dict[str, dict[str, Any]] = {}
        for i in range(num_clips):
            soundfile.write(root / "audio" / f"c{i}{suffix}", speech_like(1.0 + 0.1 * (i % 4), seed=i), 16_000)
            items[f"c{i}"] = {
                "audio_filepath": f"audio/c{i}{suffix}",
                "text": f"saya nak makan nombor {i} lah",
                "speaker_id": f"s{i % (speakers or num_clips)}",
                "language": ("ms", "en", "mixed")[i % 3],
            }
        (root / "transcripts.json").write_text(json.dumps(items), encoding="utf-8")
        return root

    return make
