"""Every threshold of `prepare` in one frozen model that can be compared with an earlier run's."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SourceKind = Literal["split-folders", "transcripts", "jsonl", "table", "text-files"]
"""Shapes of corpora: see `rojak.data.sources` for what each looks like."""


class PrepareSettings(BaseModel):
    """What `prepare` accepts and how it splits. Times are seconds, shares lie between 0 and 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: SourceKind | None = Field(default=None, description="Force the kind of source; recognised when not given.")
    columns: dict[str, str] = Field(
        default_factory=dict, description='Record field to source column: {"text": "verse"}.'
    )
    source_name: str | None = Field(default=None, description="`source` of records that have none.")

    min_duration_s: float = Field(default=0.2, gt=0)
    max_duration_s: float = Field(default=30.0, gt=0, le=30.0, description="Whisper's window is 30 s.")
    max_tokens: int = Field(default=448, gt=0, description="Whisper's decoder holds 448 label tokens.")
    allow_bad: float = Field(default=0.05, ge=0, le=1, description="Share of refused clips above which prepare stops.")

    validation_share: float = Field(default=0.1, ge=0, lt=1, description="Share of the hours, when no split is given.")
    test_share: float = Field(default=0.1, ge=0, lt=1)
    seed: int = 0
