"""`Transcript`: what was heard in one recording, in segments with times, and words with their language.

Plain data; `formats` writes it as files.
"""

from dataclasses import dataclass
from typing import Any

from rojak.records import HeardWord

SCHEMA = "rojak-transcript-1"
"""Name of the shape of the JSON; any change that could break a reader needs a new name."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch that was heard at once.

    `language` is that of its words, `mixed` for several. `confidence` is the geometric mean of the probabilities of the
    tokens that were decoded.
    """

    start: float
    end: float
    text: str
    language: str
    confidence: float | None
    words: tuple[HeardWord, ...]


@dataclass(frozen=True)
class Transcript:
    """All segments of a recording, in order; silence has none."""

    audio: str
    duration_s: float
    model: str
    language: str | None
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """The whole text on one line."""
        return " ".join(segment.text for segment in self.segments)

    @property
    def times(self) -> str:
        """How fine the times are: `words` when every word has its own, else `segments`."""
        words = [word for segment in self.segments for word in segment.words]
        return "words" if words and all(word.start is not None for word in words) else "segments"

    def to_json(self) -> dict[str, Any]:
        """Give the JSON object that `docs/deploy.md` describes."""
        return {
            "schema": SCHEMA,
            "audio": self.audio,
            "duration": round(self.duration_s, 3),
            "model": self.model,
            "language": self.language,
            "times": self.times,
            "text": self.text,
            "segments": [
                {
                    "start": round(segment.start, 3),
                    "end": round(segment.end, 3),
                    "text": segment.text,
                    "language": segment.language,
                    "confidence": _rounded(segment.confidence),
                    "words": [_word(word) for word in segment.words],
                }
                for segment in self.segments
            ],
        }


def _word(word: HeardWord) -> dict[str, Any]:
    fields = {
        "word": word.word,
        "start": _rounded(word.start),
        "end": _rounded(word.end),
        "language": word.language,
        "confidence": _rounded(word.confidence),
    }
    return {**fields, "restored": True} if word.restored else fields


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
