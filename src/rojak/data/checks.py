"""The reasons for which a clip is refused, each a named check with a threshold from the settings.

A check gives a `Fault` or None and never raises; a fault sends the clip to `quarantine.jsonl`, never silently away.
"""

import re
import unicodedata
from dataclasses import dataclass

from rojak.audio import Waveform
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
    "empty_text": "the transcript is empty",
    "only_markers": "the transcript has no words outside its markers",
    "too_many_tokens": "the transcript has more tokens than the decoder holds",
}
"""Every reason that quarantine.jsonl may name, with what it means."""

_MARKERS = re.compile(r"<[^<>]*>|\[[^\[\]]*\]|\([^()]*\)|\{[^{}]*\}")


@dataclass(frozen=True)
class Fault:
    """Why a clip is refused: a key of `REASONS` and a sentence for people."""

    reason: str
    detail: str


def check_text(text: object) -> Fault | None:
    """Refuse a transcript without words: none, empty, or nothing but markers such as `<noise>` and punctuation."""
    if text is None:
        return Fault("no_transcript", "The field text is missing.")
    if not isinstance(text, str):
        return Fault("bad_record", f"text: a string is expected, not {type(text).__name__}.")
    if not text.strip():
        return Fault("empty_text", "The transcript is empty.")
    if not any(unicodedata.category(c)[0] in "LN" for c in _MARKERS.sub(" ", text)):
        return Fault("only_markers", f"The transcript {text.strip()[:80]!r} holds no words outside its markers.")
    return None


def check_num_tokens(num_tokens: int | None, settings: PrepareSettings) -> Fault | None:
    """Refuse a transcript with more label tokens than the decoder holds; None means they were not counted."""
    if num_tokens is None or num_tokens <= settings.max_tokens:
        return None
    return Fault("too_many_tokens", f"The transcript has {num_tokens} label tokens, at most {settings.max_tokens} fit.")


def check_waveform(waveform: Waveform, settings: PrepareSettings) -> Fault | None:
    """Refuse a recording that is too short, too long, or much shorter than its own header claims."""
    seconds, claimed = waveform.duration_s, waveform.claimed_s
    if waveform.cut:
        length = f"about {claimed:.1f} s" if claimed else "longer"
        return Fault("too_long", f"The recording is {length}, at most {settings.max_duration_s:g} s are allowed.")
    if claimed and seconds < 0.9 * claimed and claimed - seconds > 0.1:
        return Fault("truncated", f"Only {seconds:.2f} s of the {claimed:.2f} s in the file's header can be decoded.")
    if seconds < settings.min_duration_s:
        return Fault(
            "too_short", f"The recording is {seconds:.3f} s, at least {settings.min_duration_s:g} s are needed."
        )
    return None
