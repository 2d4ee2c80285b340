"""One block of utterances, spoken in a process of its own: `python -m rojak.data.render` with the block on stdin.

Reads a block (JSON on stdin, see `render_block`), writes one FLAC file an utterance, and answers on stdout with each
utterance's duration and word times. A block has a process to itself because libespeak-ng carries state from call to
call: same block, fresh process, same bytes. Imports little, because every block pays for it.
"""

import io
import json
import sys
import zlib
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from rojak.data import noise
from rojak.data.espeak import SAMPLE_RATE as ESPEAK_RATE
from rojak.data.espeak import Speaker, Voice
from rojak.data.noise import SAMPLE_RATE, Wave
from rojak.data.speakers import SyntheticSpeaker, build_speaker

_VOICE_OF_LANGUAGE = {"ms": "ms", "en": "en", "zh": "cmn", "ta": "ta"}
_ENGLISH_PACE = 0.9
"""The English voice is quicker than Malaysians are."""

_ENGLISH_PARTICLES = frozenset({"one", "what"})
_STRETCH_RMS = 0.08
_FADE = ESPEAK_RATE // 200
_FLOOR_RMS = 10 ** (-75 / 20)


@dataclass(frozen=True)
class Rendered:
    """An utterance's sound and the (start, end) of its words in seconds."""

    wave: Wave
    times: tuple[tuple[float, float], ...]


def render_block(block: dict[str, Any]) -> list[dict[str, Any]]:
    """Speak the utterances of a block and write them as FLAC.

    Args:
        block: `seed`; `audio_dir`; `items`, each with `audio_id`, `speaker` (index), `words` ([word, language] pairs)
            and for noisy ones `environment` and `snr_db`; `crowd`, more items that are only heard as babble.

    Returns:
        For each item its `audio_id`, `duration` in seconds and `times` of the words.

    Raises:
        OSError: A file cannot be written.
    """
    library = Speaker()
    audio_dir = Path(block["audio_dir"])
    everyone = block["items"] + block["crowd"]
    rngs = [np.random.default_rng([block["seed"], zlib.crc32(item["audio_id"].encode())]) for item in everyone]
    rendered = [render_utterance(item, library, rng) for item, rng in zip(everyone, rngs, strict=True)]
    answers = []
    for item, clean, rng in zip(block["items"], rendered, rngs, strict=False):
        wave = clean.wave
        if "environment" in item:
            others = [i for i, other in enumerate(everyone) if other["speaker"] != item["speaker"]]
            picked = rng.choice(others, size=min(4, len(others)), replace=False)
            wave = add_noise(wave, item["environment"], item["snr_db"], [rendered[i].wave for i in picked], rng)
        wave = _set_peak(wave, rng.uniform(-12.0, -1.0))
        flac = io.BytesIO()
        soundfile.write(flac, wave, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        (audio_dir / f"{item['audio_id']}.flac").write_bytes(flac.getvalue())
        duration = round(len(wave) / SAMPLE_RATE, 4)
        answers.append({"audio_id": item["audio_id"], "duration": duration, "times": clean.times})
    return answers


def render_utterance(item: dict[str, Any], library: Speaker, rng: np.random.Generator) -> Rendered:
    """Speak one utterance without noise: stretch by stretch, joined, made the speaker's own, at 16 kHz."""
    speaker = build_speaker(item["speaker"])
    pieces = [np.zeros(int(rng.uniform(0.05, 0.3) * ESPEAK_RATE), np.float32)]
    position = len(pieces[0])
    times: list[tuple[float, float]] = []
    rate = ESPEAK_RATE * speaker.tract
    for index, (language, words) in enumerate(voice_stretches(item["words"])):
        if index:
            pieces.append(np.zeros(int(rng.uniform(0.0, 0.05) * ESPEAK_RATE), np.float32))
            position += len(pieces[-1])
        spoken = library.speak(words, language, _voice_in(speaker.voice, language))
        edges = [position + start for start in spoken.starts] + [position + spoken.end]
        times.extend((start / rate, end / rate) for start, end in pairwise(edges))
        pieces.append(_level_and_fade(spoken.samples))
        position += len(spoken.samples)
    pieces.append(np.zeros(int(rng.uniform(0.05, 0.3) * ESPEAK_RATE), np.float32))
    wave = _make_own(np.concatenate(pieces), speaker)
    wave += np.float32(_FLOOR_RMS) * rng.standard_normal(len(wave), dtype=np.float32)
    return Rendered(wave, tuple((round(start, 3), round(end, 3)) for start, end in times))


def voice_stretches(words: list[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Cut (word, language) pairs into stretches of one libespeak-ng voice each.

    Names are said in the voice of their neighbours; particles in the Malay voice, `one` and `what` in the English one.
    """
    known = [language for _, language in words if language in _VOICE_OF_LANGUAGE]
    previous = known[0] if known else "ms"
    stretches: list[tuple[str, list[str]]] = []
    for word, language in words:
        if language == "particle":
            spoken_in = "en" if word in _ENGLISH_PARTICLES else "ms"
        else:
            spoken_in = previous = language if language in _VOICE_OF_LANGUAGE else previous
        voice = _VOICE_OF_LANGUAGE[spoken_in]
        if stretches and stretches[-1][0] == voice:
            stretches[-1][1].append(word)
        else:
            stretches.append((voice, [word]))
    return stretches


def add_noise(wave: Wave, environment: str, snr_db: float, voices: list[Wave], rng: np.random.Generator) -> Wave:
    """Put a clean utterance into an environment, a `+`-joined list of `babble`, `pink`, `hum` and `reverb`."""
    kinds = environment.split("+")
    if "reverb" in kinds:
        wave = noise.reverberate(wave, noise.room_response(rng))
    makers = {
        "babble": lambda: noise.babble(voices, len(wave), rng),
        "pink": lambda: noise.pink_noise(len(wave), rng),
        "hum": lambda: noise.mains_hum(len(wave), rng),
    }
    layers = [makers[kind]() for kind in kinds if kind in makers]
    return noise.mix_at_snr(wave, np.sum(layers, axis=0, dtype=np.float32), snr_db)


def _voice_in(voice: Voice, language: str) -> Voice:
    return replace(voice, rate=round(voice.rate * _ENGLISH_PACE)) if language == "en" else voice


def _level_and_fade(samples: Wave) -> Wave:
    """Bring a stretch to the common loudness and fade its first and last 5 ms, so that joins do not click."""
    level = np.sqrt(np.mean(np.square(samples))) or 1.0
    samples = samples * np.float32(_STRETCH_RMS / level)
    fade = np.linspace(0.0, 1.0, min(_FADE, len(samples)), dtype=np.float32)
    samples[: len(fade)] *= fade
    samples[len(samples) - len(fade) :] *= fade[::-1]
    return samples


def _make_own(samples: Wave, speaker: SyntheticSpeaker) -> Wave:
    """Give sound the speaker's tilt and vocal tract, and the rate of 16 kHz.

    Reading the samples at `tract` times their rate moves every formant by that factor (and shortens the sound).
    """
    tilted = samples.copy()
    tilted[1:] += np.float32(speaker.tilt) * samples[:-1]
    wave: Wave = soxr.resample(tilted, ESPEAK_RATE * speaker.tract, SAMPLE_RATE, quality="HQ")
    return wave


def _set_peak(wave: Wave, peak_db: float) -> Wave:
    return (wave * (10 ** (peak_db / 20) / max(float(np.abs(wave).max()), 1e-9))).astype(np.float32)


def main() -> int:
    """Read a block from stdin, answer on stdout; exit code 3 and the system's words when a file cannot be written."""
    try:
        answers = render_block(json.load(sys.stdin))
    except OSError as error:
        sys.stderr.write(error.strerror or str(error))
        return 3
    json.dump(answers, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
