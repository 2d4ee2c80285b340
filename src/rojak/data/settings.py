"""Every threshold of `prepare` in one frozen model that can be compared with an earlier run's."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rojak.records import Utterance
from rojak.text.wordlists import name_own_lists

SourceKind = Literal[
    "split-folders", "transcripts", "kaldi", "huggingface", "parquet", "jsonl", "table", "text-files", "hub"
]
"""Shapes of corpora: see `rojak.data.sources` for what each looks like."""

COLUMN_FIELDS = (*Utterance.model_fields, "offset", "particles", "cmi")
"""Fields that a column of the corpus may be named for; others keep the names they have."""


class PrepareSettings(BaseModel):
    """What `prepare` accepts and how it splits. Times are seconds, shares lie between 0 and 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: SourceKind | None = Field(default=None, description="Force the kind of source; recognised when not given.")
    columns: dict[str, str] = Field(
        default_factory=dict, description='Record field to source column: {"text": "verse"}.'
    )
    audio_root: Path | None = Field(
        default=None, description="Where recordings must lie; by default the corpus itself."
    )
    source_name: str | None = Field(default=None, description="`source` of records that have none.")

    min_duration_s: float = Field(default=0.2, gt=0, description="Shortest clip.")
    max_duration_s: float = Field(default=30.0, gt=0, le=30.0, description="Whisper's window is 30 s.")
    split_long: bool = Field(
        default=False, description="Cut longer recordings at word times or pauses instead of refusing them."
    )
    max_long_s: float = Field(default=600.0, gt=0, le=1800, description="Longest recording that is cut.")
    max_duration_error: float = Field(
        default=0.1, gt=0, description="Share (and at least 0.3 s) by which the corpus's duration may be wrong."
    )
    min_sample_rate: int = Field(default=8000, gt=0, description="Hz of the original; telephone speech has 8000.")
    max_clipped_share: float = Field(default=0.01, ge=0, le=1, description="Samples flattened at the loudest value.")
    min_level_db: float = Field(default=-60.0, le=0, description="Level of the loud frames, dB below full scale.")
    min_snr_db: float = Field(default=0.0, description="Speech-to-noise ratio, given or estimated.")

    max_tokens: int = Field(default=448, gt=0, description="Whisper's decoder holds 448 label tokens.")
    tokenizer: str | None = Field(
        default=None, description="Model whose tokens are counted; the command's is rojak-micro."
    )
    scripts: tuple[str, ...] = Field(
        default=("LATIN", "CJK", "TAMIL"), description="Scripts of letters, as Unicode names begin; ARABIC for Jawi."
    )
    max_other_script_share: float = Field(default=0.1, ge=0, le=1, description="Letters in other scripts.")
    min_syllables_per_s: float = Field(
        default=0.3, ge=0, description="Below, the transcript is too short for the clip."
    )
    max_syllables_per_s: float = Field(default=11.0, gt=0, description="Above, nobody speaks so fast.")

    max_audit_wer: float = Field(default=0.6, gt=0, description="Word error rate above which --audit-with refuses.")
    refuse_duplicates: bool = Field(default=True, description="Refuse the same sound, or sentence and speaker, twice.")
    allow_bad: float = Field(default=0.05, ge=0, le=1, description="Share of refused clips above which prepare stops.")

    validation_share: float = Field(default=0.1, ge=0, lt=1, description="Share of the hours, where it is not given.")
    test_share: float = Field(default=0.1, ge=0, lt=1, description="Likewise.")
    seed: int = Field(default=0, description="Decides between speakers of equal hours.")
    word_lists: tuple[str, ...] = Field(
        default_factory=lambda: tuple(name_own_lists()), description="Follows from `rojak --words`; not to be set."
    )

    @field_validator("columns")
    @classmethod
    def _fields_are_known(cls, columns: dict[str, str]) -> dict[str, str]:
        for name, column in columns.items():
            if name not in COLUMN_FIELDS:
                turned = f"; write {column}={name}" if column in COLUMN_FIELDS else ""
                raise ValueError(f"{name!r} is no field of the record, which come first, as in text=sentence{turned}")
        return columns

    @field_validator("word_lists")
    @classmethod
    def _lists_are_those_in_force(cls, word_lists: tuple[str, ...]) -> tuple[str, ...]:
        if word_lists != tuple(name_own_lists()):
            raise ValueError("follows from `rojak --words FILE` and cannot be set by itself")
        return word_lists

    @model_validator(mode="after")
    def _something_is_left_for_training(self) -> Self:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share together must stay below 1, training gets the rest")
        return self
