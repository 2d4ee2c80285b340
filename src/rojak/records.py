"""The one typed record that goes the whole way: `Utterance`.

Reads and writes plain dictionaries (JSON objects, Parquet rows); knows no files.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rojak.errors import ManifestError

LANGUAGES = ("ms", "en", "zh", "ta")
"""Languages of an utterance, in the order used in every table; a fifth value, `mixed`, marks switching inside one."""

Language = Literal["ms", "en", "zh", "ta", "mixed"]
WordLanguage = Literal["ms", "en", "zh", "ta", "particle", "other"]
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Word(BaseModel):
    """A word of a transcript with its language and, where known, its place in the recording.

    `other` marks names, digits and everything else that belongs to no language. Times are seconds from the start.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    word: str
    language: WordLanguage
    start: float | None = None
    end: float | None = None


class HeardWord(Word):
    """A word of a decoded transcript, as it is spelt there; a Han character stands alone.

    `confidence` is the geometric mean of the model's probabilities of its tokens. `restored` marks a particle that was
    not decoded and put back afterwards.
    """

    confidence: float | None = None
    restored: bool = False


class CodeSwitch(BaseModel):
    """A stretch of words `[start_word, end_word)` in an embedded language."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    start_word: int
    end_word: int
    language: WordLanguage


class Utterance(BaseModel):
    """One recording with its transcript and everything known about it.

    Fields that Rojak does not know are kept (in `model_extra`) and travel along, so that any can slice a result.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    audio_id: str = Field(min_length=1)
    audio_filepath: str
    text: str
    duration: float = Field(gt=0, description="Seconds.")
    speaker_id: str | None = None
    language: Language | None = None
    words: tuple[Word, ...] | None = None
    code_switches: tuple[CodeSwitch, ...] | None = None
    quality_score: int | None = Field(default=None, ge=1, le=5)
    snr_db: float | None = Field(default=None, description="Speech-to-noise ratio, known or estimated.")
    added_snr_db: float | None = Field(default=None, description="Ratio at which noise was mixed in on purpose.")
    accent: str | None = None
    domain: str | None = None
    recording_environment: str | None = None
    source: str | None = None
    split: Split | None = None

    @classmethod
    def from_dict(cls, item: dict[str, Any], where: str) -> "Utterance":
        """Check a dictionary and make it a record.

        Args:
            item: Field names to values, as read from JSON or Parquet.
            where: File and place, for the error message ("train/transcripts.json, item clip-7").

        Raises:
            ManifestError: A required field is missing or a field has the wrong type; names the field.
        """
        try:
            return cls.model_validate(item)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors())
            raise ManifestError(f"{where}: {problems}.") from None

    def to_dict(self) -> dict[str, Any]:
        """Give the record as a plain dictionary without the fields that are not set."""
        return self.model_dump(exclude_none=True)


def quality_from_snr(snr_db: float) -> int:
    """Give the quality score 1–5 of a recording from its speech-to-noise ratio (5 above 35 dB, 1 below 10 dB)."""
    return 1 + sum(snr_db >= limit for limit in (10.0, 15.0, 25.0)) + (snr_db > 35.0)
