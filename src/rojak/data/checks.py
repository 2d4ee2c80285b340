"""The reasons for which a clip is refused, each a named check with a threshold from the settings.

A check gives a `Fault` or None and never raises; a fault sends the clip to `quarantine.jsonl`, never silently away.
"""

import math
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rojak.audio import Samples, Waveform
from rojak.data.settings import PrepareSettings

REASONS = {
    "missing_file": "the recording named in the transcript file does not exist",
    "unreadable_file": "the recording exists but may not be read",
    "outside_root": "the path leads out of the dataset's folder",
    "no_transcript": "a recording without text",
    "bad_record": "a field is missing or has the wrong type",
    "duplicate_id": "the same audio_id was used before",
    "empty_file": "the file has 0 bytes",
    "undecodable": "neither libsndfile nor FFmpeg can decode the file",
    "truncated": "the file ends long before its header says",
    "too_short": "shorter than min_duration_s",
    "too_long": "longer than max_duration_s",
    "duration_mismatch": "the corpus gives another duration, see max_duration_error",
    "low_rate": "recorded with fewer samples a second than min_sample_rate",
    "nearly_silent": "the loud frames lie below min_level_db",
    "clipped": "more samples than max_clipped_share are flattened at the loudest value",
    "low_snr": "the speech-to-noise ratio lies below min_snr_db",
    "empty_text": "the transcript is empty",
    "only_markers": "the transcript has no words outside its markers",
    "unexpected_script": "more letters than max_other_script_share are in no script of the settings",
    "too_slow": "fewer syllables a second than min_syllables_per_s: the transcript lacks words",
    "too_fast": "more syllables a second than max_syllables_per_s: the transcript belongs to another clip",
    "too_many_tokens": "the transcript has more tokens than the decoder holds",
    "unlike_model": "the transcript is far from what the model of --audit-with hears, see max_audit_wer",
    "duplicate_audio": "the same sound was there before",
    "audio_in_two_splits": "the same sound is in validation or test too",
    "sentence_in_two_splits": "the same speaker says the same sentence in validation or test too",
}
"""Every reason that quarantine.jsonl may name, with what it means."""

MIN_SNR_SECONDS = 2.0
"""Shorter clips are often cut so tightly that the estimate of the noise is partly speech."""

_MARKERS = re.compile(r"<[^<>]*>|\[[^\[\]]*\]|\([^()]*\)|\{[^{}]*\}")
_TAGS = re.compile(r"<[^<>]*>")
_VOWELS = re.compile(r"[aeiouyàáâãäåèéêëìíîïòóôõöùúûü]+")


@dataclass(frozen=True)
class Fault:
    """Why a clip is refused: a key of `REASONS` and a sentence for people."""

    reason: str
    detail: str


def check_text(text: object) -> Fault | None:
    """Refuse a transcript without words: none, empty, or nothing but markers such as `<noise>` and punctuation."""
    if text is None:
        return Fault("no_transcript", "There is no field text; where it has another name, give --column text=NAME.")
    if not isinstance(text, str):
        return Fault("bad_record", f"text: a string is expected, not {type(text).__name__}.")
    if not text.strip():
        return Fault("empty_text", "The transcript is empty.")
    if not any(unicodedata.category(c)[0] in "LN" for c in _MARKERS.sub(" ", text)):
        return Fault("only_markers", f"The transcript {text.strip()[:80]!r} holds no words outside its markers.")
    return None


@lru_cache(maxsize=4096)
def script_of(letter: str) -> str:
    """Name the script of a letter as its Unicode name begins: LATIN, CJK, TAMIL, ARABIC, CYRILLIC …."""
    return unicodedata.name(letter, "UNKNOWN").partition(" ")[0]


def check_script(text: str, settings: PrepareSettings) -> Fault | None:
    """Refuse a transcript that is largely in a script which no language of the corpus uses."""
    letters = [script_of(c) for c in text if unicodedata.category(c)[0] == "L"]
    others = [script for script in letters if script not in settings.scripts]
    if len(others) <= settings.max_other_script_share * len(letters):
        return None
    found = ", ".join(sorted(set(others)))
    return Fault("unexpected_script", f"{len(others)} of {len(letters)} letters are {found}.")


def count_syllables(text: str) -> float:
    """Estimate the spoken syllables of a transcript in the scripts of Malaysia.

    Groups of vowels in Latin words (at least one a word), Han characters, Tamil letters that carry a vowel (those with
    the vowel killer U+0BCD do not), and 1.5 for a digit.
    """
    text = _TAGS.sub(" ", text).lower()
    count = 0.0
    latin = ""
    for c in f"{text} ":
        category = unicodedata.category(c)
        script = script_of(c) if category[0] == "L" else ""
        if script == "LATIN":
            latin += c
            continue
        if latin:
            count += max(1, len(_VOWELS.findall(latin)))
            latin = ""
        if script:
            count += 1
        elif c == "\u0bcd":
            count -= 1
        elif category == "Nd":
            count += 1.5
    return count


def check_speaking_rate(text: str, duration_s: float, settings: PrepareSettings) -> Fault | None:
    """Refuse a transcript that nobody could have said in that time, or that leaves most of the time empty."""
    syllables = count_syllables(text)
    rate = syllables / duration_s
    if rate > settings.max_syllables_per_s:
        reason, limit = "too_fast", f"at most {settings.max_syllables_per_s:g}"
    elif rate < settings.min_syllables_per_s:
        reason, limit = "too_slow", f"at least {settings.min_syllables_per_s:g}"
    else:
        return None
    detail = f"About {syllables:.0f} syllables in {duration_s:.1f} s are {rate:.1f} a second, {limit} are believed."
    return Fault(reason, detail)


def check_num_tokens(num_tokens: int | None, settings: PrepareSettings) -> Fault | None:
    """Refuse a transcript with more label tokens than the decoder holds; None means they were not counted."""
    if num_tokens is None or num_tokens <= settings.max_tokens:
        return None
    return Fault("too_many_tokens", f"The transcript has {num_tokens} label tokens, at most {settings.max_tokens} fit.")


def check_length(waveform: Waveform, stated_s: float | None, settings: PrepareSettings) -> Fault | None:
    """Refuse a recording that is too short, too long, or of another length than its header or its corpus says.

    Args:
        waveform: Decoded up to `max_duration_s`.
        stated_s: Duration in the corpus's own words, None when it gives none.
        settings: The thresholds.
    """
    seconds, claimed = waveform.duration_s, waveform.claimed_s
    if waveform.cut:
        length = f"about {claimed:.1f} s" if claimed else "longer"
        return Fault("too_long", f"The recording is {length}, at most {settings.max_duration_s:g} s are allowed.")
    if claimed and seconds < 0.9 * claimed and claimed - seconds > 0.1:
        return Fault("truncated", f"Only {seconds:.2f} s of the promised {claimed:.2f} s can be decoded.")
    if seconds < settings.min_duration_s:
        return Fault(
            "too_short", f"The recording is {seconds:.3f} s, at least {settings.min_duration_s:g} s are needed."
        )
    if stated_s is not None and abs(stated_s - seconds) > max(0.3, settings.max_duration_error * seconds):
        return Fault("duration_mismatch", f"The corpus says {stated_s:.2f} s, the recording has {seconds:.2f} s.")
    return None


def check_sound(
    waveform: Waveform, snr_db: float | None, settings: PrepareSettings, *, is_estimate: bool = False
) -> Fault | None:
    """Refuse a recording of a quality that teaches nothing: low rate, silence, clipping, drowned in noise.

    Args:
        waveform: Decoded.
        snr_db: Speech-to-noise ratio; None is not judged.
        settings: The thresholds.
        is_estimate: Whether `snr_db` was estimated; then it is only judged in clips of `MIN_SNR_SECONDS` or more.
    """
    if waveform.original_rate < settings.min_sample_rate:
        return Fault(
            "low_rate", f"Recorded at {waveform.original_rate} Hz, at least {settings.min_sample_rate} are needed."
        )
    level_db = active_level_db(waveform.samples)
    if level_db < settings.min_level_db:
        return Fault("nearly_silent", f"Loud frames reach {level_db:.0f} dB, {settings.min_level_db:g} dB are needed.")
    if waveform.clipped_share > settings.max_clipped_share:
        detail = (
            f"{waveform.clipped_share:.1%} of the samples are clipped, at most {settings.max_clipped_share:.1%} go."
        )
        return Fault("clipped", detail)
    is_sure = not is_estimate or waveform.duration_s >= MIN_SNR_SECONDS
    if snr_db is not None and snr_db < settings.min_snr_db and is_sure:
        return Fault("low_snr", f"Speech is {snr_db:.1f} dB over the noise, {settings.min_snr_db:g} dB are needed.")
    return None


def active_level_db(samples: Samples) -> float:
    """Give the level of the loud frames (95 % quantile of 20-ms frames) in dB relative to full scale."""
    num_frames = len(samples) // 320
    if not num_frames:
        return -math.inf
    power = (samples[: num_frames * 320].reshape(num_frames, 320) ** 2).mean(axis=1)
    return 10 * math.log10(max(float(np.quantile(power, 0.95)), 1e-12))
