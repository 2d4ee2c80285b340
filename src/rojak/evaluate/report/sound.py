"""Clips for the players: small MP3 and the outline of the wave, within a budget of bytes."""

import base64
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import soundfile

from rojak.audio import SAMPLE_RATE, Samples
from rojak.errors import RojakError

MAX_CLIPS = 30
MAX_BYTES = 3_000_000
"""Of all clips as they stand in the page (base64)."""
NUM_PEAKS = 150
_QUALITY = 0.8  # Of libsndfile's scale from 0 (largest) to 1: about 40 kbit/s at 16 kHz.


@dataclass(frozen=True)
class Clips:
    """Sound for a page: audio_id → clip, and how many were wanted but could not be had or did not fit."""

    clips: dict[str, dict[str, Any]]
    missing: int
    too_big: int


def embed_clips(audio_ids: Iterable[str], read_audio: Callable[[str], Samples | None]) -> Clips:
    """Encode the first `MAX_CLIPS` utterances that have sound, within `MAX_BYTES`.

    Args:
        audio_ids: In order of interest.
        read_audio: Gives float32 samples of an utterance at 16 kHz, or None.
    """
    clips: dict[str, dict[str, Any]] = {}
    missing = too_big = used = 0
    for audio_id in audio_ids:
        if len(clips) + too_big == MAX_CLIPS:
            break
        try:
            samples = read_audio(audio_id)
        except (RojakError, OSError):
            samples = None
        if samples is None or not len(samples):
            missing += 1
            continue
        data = base64.b64encode(encode_mp3(samples)).decode("ascii")
        if used + len(data) > MAX_BYTES:
            too_big += 1
            continue
        used += len(data)
        clips[audio_id] = {"mp3": data, "peaks": outline(samples), "s": round(len(samples) / SAMPLE_RATE, 2)}
    return Clips(clips, missing, too_big)


def encode_mp3(samples: Samples) -> bytes:
    """Encode mono sound at 16 kHz so that every browser plays it."""
    buffer = io.BytesIO()
    soundfile.write(
        buffer,
        samples,
        SAMPLE_RATE,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="CONSTANT",
        compression_level=_QUALITY,
    )
    return buffer.getvalue()


def outline(samples: Samples, num_peaks: int = NUM_PEAKS) -> list[int]:
    """Give the loudest sample of each of `num_peaks` stretches, 0–100, the loudest of all being 100."""
    edges = np.linspace(0, len(samples), num_peaks + 1).astype(int)
    loud = np.abs(samples)
    peaks = np.array([loud[a : max(b, a + 1)].max(initial=0.0) for a, b in pairwise(edges.tolist())])
    top = float(peaks.max(initial=0.0))
    return [round(100 * float(peak) / top) if top > 0 else 0 for peak in peaks]
