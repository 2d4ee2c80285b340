"""Cut recordings that are longer than Whisper's window, at word times or at pauses; reads and writes no files.

With word times the cut is exact. Without, a cut is made only where a pause and the end of a sentence fall together as
the syllables before it predict; such pieces carry `cut_by: pauses`, so that a stage or an audit can doubt them.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from rojak.audio import SAMPLE_RATE, Samples
from rojak.data.checks import Fault, count_syllables

MARGIN_S = 0.5
"""Silence that stays around a piece, where there is so much."""
MIN_PAUSE_S = 0.35
MAX_DRIFT_S = 1.5
"""How far a pause may lie from where the syllables before it predict a sentence to end."""
MAX_OVERLAP_S = 0.02
"""By which two words may overlap in time and still be cut apart."""

_FRAME = SAMPLE_RATE // 50
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])\s*|\s*\n\s*")
_OF_THE_WHOLE = ("words", "code_switches", "particles", "cmi", "duration", "offset")
"""Fields of a long recording that are not those of its pieces."""


@dataclass(frozen=True)
class Piece:
    """A part of a long recording: where it lies, in seconds, and its record's fields."""

    start_s: float
    end_s: float
    fields: dict[str, Any]


@dataclass(frozen=True)
class _Cut:
    """A place where a recording may be cut: in time, in the text, after how many words; a better one costs less."""

    time_s: float
    text_at: int
    num_words: int
    cost: float


def cut_long(fields: dict[str, Any], samples: Samples, max_s: float) -> list[Piece] | Fault:
    """Cut a recording into as few pieces of at most `max_s` seconds as the best places allow.

    Args:
        fields: Of the record; `words` with times decide how.
        samples: The whole recording, at `SAMPLE_RATE`.
        max_s: Longest piece.

    Returns:
        Pieces in order, which together hold the whole text, or why it cannot be cut.
    """
    text, length_s = fields["text"], len(samples) / SAMPLE_RATE
    words = _timed_words(fields.get("words"), length_s)
    if words:
        cuts = _cuts_at_words(text, words)
        if cuts is None:
            return _fault(length_s, max_s, "its words do not spell its text")
    else:
        cuts = _cuts_at_pauses(text, samples)
    ends = [_Cut(0.0, 0, 0, 0.0), *cuts, _Cut(length_s, len(text), len(words), 0.0)]
    chosen = _choose(ends, lambda one, other: _span(one, other, words), max_s)
    if chosen is None:
        what = "between words" if words else "where a pause and the end of a sentence fall together"
        return _fault(length_s, max_s, f"there are no places {what} close enough to each other")
    how = "words" if words else "pauses"
    return [_piece(fields, one, other, words, how) for one, other in pairwise(chosen)]


def _fault(length_s: float, max_s: float, why: str) -> Fault:
    return Fault("too_long", f"The recording is {length_s:.1f} s, and to cut it to {max_s:g} s {why}.")


def _timed_words(words: object, length_s: float) -> list[dict[str, Any]]:
    """Give the words when every one has a text and a time within the recording, in order; otherwise none."""
    if not isinstance(words, Sequence) or not words:
        return []
    found: list[dict[str, Any]] = []
    for word in words:
        if not isinstance(word, dict) or not isinstance(word.get("word"), str):
            return []
        start, end = word.get("start"), word.get("end")
        if not isinstance(start, int | float) or not isinstance(end, int | float):
            return []
        if not (found[-1]["start"] if found else 0.0) <= start <= end <= length_s + MARGIN_S:
            return []
        found.append(word)
    return found


def locate_words(text: str, words: Sequence[str]) -> list[int] | None:
    """Give where each word begins in a text as it was written, whatever its capitals; None where one is not there."""
    places, at, lower = [], 0, text.lower()
    for word in words:
        place = lower.find(word.lower(), at) if len(lower) == len(text) else text.find(word, at)
        if place < 0 or not word:
            return None
        places.append(place)
        at = place + len(word)
    return places


def _cuts_at_words(text: str, words: Sequence[dict[str, Any]]) -> list[_Cut] | None:
    """Every gap between words; wide ones are better. None where the words are not those of the text."""
    places = locate_words(text, [word["word"] for word in words])
    if places is None:
        return None
    cuts = []
    for number in range(1, len(words)):
        before, after = words[number - 1]["end"], words[number]["start"]
        gap = after - before
        if gap >= -MAX_OVERLAP_S:
            cuts.append(_Cut((before + after) / 2, places[number], number, 1 / (0.1 + max(gap, 0.0))))
    return cuts


def find_pauses(samples: Samples) -> tuple[list[tuple[float, float]], npt.NDArray[np.bool_]]:
    """Find pauses by level: frames 30 dB under the loud ones, or within 6 dB of the quietest.

    Returns:
        Start and end in seconds of every pause of `MIN_PAUSE_S` or more, and for every 20-ms frame whether it is loud.
    """
    num_frames = len(samples) // _FRAME
    power = (samples[: num_frames * _FRAME].reshape(num_frames, _FRAME).astype(np.float64) ** 2).mean(axis=1)
    smooth = np.convolve(power, np.full(3, 1 / 3), mode="same")
    limit = max(float(np.quantile(smooth, 0.95)) * 1e-3, float(np.quantile(smooth, 0.05)) * 4)
    loud = smooth > limit
    edges = np.flatnonzero(np.diff(np.concatenate([[True], loud, [True]]).astype(np.int8)))
    spans = edges.reshape(-1, 2) * _FRAME / SAMPLE_RATE
    return [(float(a), float(b)) for a, b in spans if b - a >= MIN_PAUSE_S], loud


def _cuts_at_pauses(text: str, samples: Samples) -> list[_Cut]:
    """Sentence ends with the pause nearest to where their syllables predict it."""
    pauses, loud = find_pauses(samples)
    spoken_s = np.concatenate([[0.0], np.cumsum(loud)]) * _FRAME / SAMPLE_RATE
    whole = count_syllables(text)
    cuts = []
    for match in _SENTENCE_END.finditer(text):
        if not pauses or not 0 < match.end() < len(text) or not whole:
            continue
        predicted = count_syllables(text[: match.start()]) / whole * spoken_s[-1]
        drifts = [abs(float(spoken_s[min(int(a * 50), len(loud))]) - predicted) for a, _ in pauses]
        nearest = int(np.argmin(drifts))
        if drifts[nearest] <= MAX_DRIFT_S:
            start, end = pauses[nearest]
            cuts.append(_Cut((start + end) / 2, match.end(), 0, drifts[nearest] + 1 / (end - start)))
    cuts.sort(key=lambda cut: (cut.time_s, cut.cost))  # two sentences may want one pause: the better one gets it
    return [cut for i, cut in enumerate(cuts) if (i == 0 or cut.time_s > cuts[i - 1].time_s)]


def _span(one: _Cut, other: _Cut, words: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Where the piece between two cuts lies; with word times, long silence at its ends is left out."""
    if not words:
        return one.time_s, other.time_s
    first, last = words[one.num_words], words[other.num_words - 1]
    return max(one.time_s, first["start"] - MARGIN_S), min(other.time_s, last["end"] + MARGIN_S)


def _choose(cuts: Sequence[_Cut], span: Callable[[_Cut, _Cut], tuple[float, float]], max_s: float) -> list[_Cut] | None:
    """Choose the cuts of least total cost with no piece above `max_s`, by dynamic programming; None if there are none.

    Every piece costs as much as a cut without a gap, so that few pieces are made.
    """
    best: list[tuple[float, int]] = [(0.0, -1)]
    for number in range(1, len(cuts)):
        found = (float("inf"), -1)
        for before in range(number - 1, -1, -1):
            start_s, end_s = span(cuts[before], cuts[number])
            if end_s - start_s > max_s:
                break
            is_forward = cuts[before].text_at < cuts[number].text_at and start_s < end_s
            cost = best[before][0] + cuts[number].cost + 10.0
            if is_forward and cost < found[0]:
                found = (cost, before)
        best.append(found)
    if best[-1][0] == float("inf"):
        return None
    chosen, at = [cuts[-1]], best[-1][1]
    while at >= 0:
        chosen.append(cuts[at])
        at = best[at][1]
    return chosen[::-1]


def _piece(fields: dict[str, Any], one: _Cut, other: _Cut, words: Sequence[dict[str, Any]], how: str) -> Piece:
    start_s, end_s = _span(one, other, words)
    kept = {name: value for name, value in fields.items() if name not in _OF_THE_WHOLE}
    if kept.get("language") == "mixed":
        del kept["language"]  # a piece need not be
    whole_id = fields["audio_id"]
    kept |= {
        "audio_id": f"{whole_id}-{round(start_s * 1000):08d}",
        "text": fields["text"][one.text_at : other.text_at].strip(),
        "cut_from": whole_id,
        "cut_start_s": round(start_s, 3),
        "cut_by": how,
    }
    if words:
        kept["words"] = [
            {**word, "start": round(max(word["start"] - start_s, 0.0), 4), "end": round(word["end"] - start_s, 4)}
            for word in words[one.num_words : other.num_words]
        ]
    return Piece(start_s, end_s, kept)
