"""`Prediction`: what one system made of one utterance, the row of `predictions.jsonl`."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rojak.errors import ManifestError
from rojak.records import HeardWord, Word

MAX_CHARACTERS = 200_000
"""Longest reference or hypothesis: over three hours of talk. Comparing longer ones would take minutes each."""


class Prediction(BaseModel):
    """A reference and a hypothesis, with whatever else is known of the utterance; any field can slice a result.

    `words` are the reference's words with languages, `hypothesis_words` those of a system that tags its own output;
    without them, or where they say that their languages are from the `tagger`, the tagger reads the languages off the
    text while scoring. An empty reference stands for a clip without speech.
    """

    model_config = ConfigDict(frozen=True, extra="allow", coerce_numbers_to_str=True, allow_inf_nan=False)

    audio_id: str = Field(min_length=1)
    reference: str = Field(max_length=MAX_CHARACTERS)
    hypothesis: str = Field(max_length=MAX_CHARACTERS)
    words: tuple[Word, ...] | None = None
    hypothesis_words: tuple[HeardWord, ...] | None = None
    hypothesis_languages_from: Literal["model", "tagger"] = "model"
    speaker_id: str | None = None
    language: str | None = None
    duration: float | None = Field(default=None, ge=0, description="Seconds.")
    added_snr_db: float | None = None
    decode_s: float | None = Field(default=None, ge=0, description="Seconds spent decoding.")

    @classmethod
    def from_dict(cls, item: dict[str, Any], where: str) -> "Prediction":
        """Check a dictionary and make it a prediction.

        Args:
            item: Field names to values.
            where: File and line, for the error message.

        Raises:
            ManifestError: A field is missing, of the wrong type or too long; names it.
        """
        try:
            return cls.model_validate(item)
        except ValidationError as error:
            problems = "; ".join(_say(dict(problem)) for problem in error.errors())
            raise ManifestError(f"{where}: {problems}.") from None


def _say(problem: dict[str, Any]) -> str:
    field = ".".join(map(str, problem["loc"]))
    if problem["type"] == "missing":
        return f"{field} is missing; a row needs audio_id, reference and hypothesis"
    if problem["type"] == "string_too_long":
        return f"{field} has {len(problem['input']):,} characters, at most {MAX_CHARACTERS:,} are allowed"
    if problem["input"] is None:
        return f'{field} is null; give a text, or "" for nothing'
    return f"{field}: {problem['msg'].lower().replace('valid tuple', 'list')}"
