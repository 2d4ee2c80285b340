"""Hold transcripts against what a model hears, and take those that are far off out of prepared data.

Reads a model and prepared shards; moves clips to quarantine.jsonl with the reason `unlike_model`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from rojak.data.checks import Fault
from rojak.data.dataset import Dataset
from rojak.data.prepare import PrepareSummary, read_summary
from rojak.data.removal import remove_clips
from rojak.data.settings import PrepareSettings
from rojak.errors import DataQualityError, InputError
from rojak.evaluate.decode import DecodeOptions
from rojak.evaluate.measure import measure
from rojak.evaluate.predict import predict
from rojak.evaluate.prediction import Prediction
from rojak.model.adapters import load_any, resolve_model
from rojak.model.names import token_counter
from rojak.model.whisper import Whisper
from rojak.records import SPLITS

MIN_WORDS = 3
"""Of a transcript that is judged: one word that a model mishears is no proof."""
MAX_HEARD = 200
"""Characters of what was heard that quarantine.jsonl repeats."""
CHUNK = 256
"""Clips whose sound is held at once."""


@dataclass(frozen=True)
class AuditSummary:
    """How many clips were heard and how many of them taken out; `unchanged` when the same was done before."""

    clips: int
    removed: int
    unchanged: bool = False


def audit(
    prepared_dir: Path,
    load: Callable[[], Whisper],
    model_name: str,
    *,
    max_wer: float = 0.6,
    allow_bad: float = 0.05,
    on_progress: Callable[[int, int], None] | None = None,
) -> AuditSummary:
    """Transcribe every prepared clip and refuse those whose transcript is far from it.

    The model must know the languages of the corpus: what it cannot hear would look like a wrong transcript, and more
    than `allow_bad` of that stops the audit with nothing changed.

    Args:
        prepared_dir: Written by `prepare`.
        load: Loads the model; not called where this audit was made before.
        model_name: What stats.json calls it.
        max_wer: Word error rate above which a clip goes.
        allow_bad: Share of clips that may go.
        on_progress: Told clips done and clips in all.

    Raises:
        InputError: The folder is no prepared data.
        DataQualityError: More clips than `allow_bad` are far from what the model hears; nothing was changed.
    """
    data = Dataset(prepared_dir, SPLITS)
    note = {"audit": {"model": model_name, "max_wer": max_wer}}
    stats = json.loads((prepared_dir / "stats.json").read_text(encoding="utf-8"))
    if stats.get("audit") == note["audit"]:
        return AuditSummary(len(data), 0, unchanged=True)
    whisper, faults = load(), {}
    for start in range(0, len(data), CHUNK):
        indices = range(start, min(start + CHUNK, len(data)))
        for row in predict(whisper, data, indices, DecodeOptions()):
            if fault := judge(row, max_wer):
                faults[row.audio_id] = fault
        if on_progress:
            on_progress(indices.stop, len(data))
    share = len(faults) / len(data)
    if share > allow_bad:
        raise DataQualityError(
            f"{len(faults)} of {len(data)} transcripts ({share:.1%}) are far from what {model_name} hears, more than "
            f"the allowed {allow_bad:.1%}; nothing was taken out. Audit with a model that knows these "
            "languages, or raise --allow-bad."
        )
    remove_clips(prepared_dir, faults, note)
    return AuditSummary(len(data), len(faults))


def check_auditor(model_name: str) -> None:
    """Make sure that there is such a model, so that `prepare` need not work for hours before the audit finds none.

    Raises:
        InputError: It is no folder with a model, and the hub has none of that name either.
    """
    folder = resolve_model(model_name)
    if folder is None:
        token_counter(model_name)
    elif not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        raise InputError(f"{model_name}: holds no model; name rojak-micro, a model or run folder, or a hub id.")


def audit_summary(summary: PrepareSummary, model_name: str, settings: PrepareSettings) -> PrepareSummary:
    """Audit what `prepare` has just written, under a progress bar; give its summary brought up to date.

    Raises:
        RojakError: As `audit`, or the model cannot be loaded.
    """
    with Progress(TextColumn("audit"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("audit", total=None)
        done = audit(
            summary.out_dir,
            lambda: _load(model_name),
            model_name,
            max_wer=settings.max_audit_wer,
            allow_bad=settings.allow_bad,
            on_progress=lambda count, total: bar.update(task, completed=count, total=total),
        )
    again = read_summary(summary.out_dir)
    text = f"{model_name} heard {done.clips} clips; {done.removed} transcripts were far from it."
    notes = [*summary.notes, text] if not done.unchanged else summary.notes
    return replace(
        again,
        unchanged=summary.unchanged and done.unchanged,
        notes=notes,
        audio_s=summary.audio_s,
        wall_s=summary.wall_s,
    )


def _load(model_name: str) -> Whisper:
    whisper = load_any(model_name)
    whisper.network.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    return whisper


def judge(row: Prediction, max_wer: float) -> Fault | None:
    """Refuse a transcript whose word error rate against the model's is above `max_wer`."""
    score = measure(row)
    if len(score.reference_words) < MIN_WORDS or score.wer is None or score.wer <= max_wer:
        return None
    heard = row.hypothesis[:MAX_HEARD]
    return Fault("unlike_model", f"WER {score.wer:.0%} against what the model hears: {heard!r}.")
