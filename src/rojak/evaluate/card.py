"""The model card of an evaluation: what the Hugging Face hub reads (`model-index`), then the tables people read.

Takes `Scores`, the model's first; writes `model-card.md`, which becomes the README.md of a published model.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from rojak import __version__
from rojak.evaluate.metrics import METRICS
from rojak.evaluate.report.breakdown import most_frequent
from rojak.evaluate.report.markdown import report_lines
from rojak.evaluate.results import Cell, Scores
from rojak.evaluate.show import HEADLINE, SLICE_COLUMNS
from rojak.records import LANGUAGES
from rojak.runs import write_bytes

TASK = "automatic-speech-recognition"
NOT_PUBLISHED = ("speaker_id",)
"""Slicings that stay in the report: they tell of persons."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_EXPLANATION = (
    "Intervals hold 95 % of the values that arise when speakers are drawn anew; *few* marks parts with too few "
    "utterances to conclude from. Texts were compared under the normaliser named above, which keeps Tamil vowel signs; "
    "numbers under another normaliser are not comparable."
)


def write_model_card(path: Path, systems: Sequence[Scores], *, date: str) -> None:
    """Write the card of the first system, the others beside it in the tables.

    Args:
        path: File to write.
        systems: Scored on the same utterances; `settings` tell model, base, data, splits and decoding.
        date: Of the evaluation.

    Raises:
        InputError: The file cannot be written.
    """
    public = [_without_folders(scores) for scores in systems]
    name = str(public[0].settings.get("model") or public[0].system or "model")
    lines = ["---", _front_matter(name, public[0], systems[0].settings.get("base")), "---", ""]
    lines += report_lines(public, title=name, date=date, leave_out=NOT_PUBLISHED)
    lines += ["", "## How to read this", "", _EXPLANATION]
    write_bytes(path, ("\n".join(lines) + "\n").encode("utf-8", errors="replace"))


def _front_matter(name: str, scores: Scores, base: str | None) -> str:
    on_hub = base is not None and _HUB_ID.fullmatch(base) and not Path(base).exists()
    data = ModelCardData(
        language=[language for language in LANGUAGES if language in scores.language_confusion] or None,
        library_name="transformers",
        pipeline_tag=TASK,
        tags=["whisper", "code-switching", "rojak"],
        base_model=base if on_hub else None,
        metrics=["wer", "cer"],
        model_name=name,
        eval_results=list(_results(scores)),
        rojak={
            "version": __version__,
            "normalizer": scores.normalizer,
            "decode": scores.settings.get("decode"),
            "resampled": scores.overall.resampled,
        },
    )
    text: str = data.to_yaml()
    return text


def _results(scores: Scores) -> Iterator[EvalResult]:
    """Give every measure of the whole set, then the main ones of each part of each slicing."""
    yield from _cell_results(scores, scores.overall, HEADLINE)
    for slicing, parts in scores.slices.items():
        if len(parts) > 1 and slicing not in NOT_PUBLISHED:
            for part in most_frequent(parts):
                yield from _cell_results(scores, parts[part], SLICE_COLUMNS, f"{slicing}={part}")


def _cell_results(scores: Scores, cell: Cell, names: Sequence[str], part: str | None = None) -> Iterator[EvalResult]:
    data = str(scores.settings.get("data") or "test set")
    splits = scores.settings.get("splits")
    for name in names:
        metric, value = METRICS[name], cell.metrics[name]
        if value.value is None:
            continue
        scale = 100 if metric.unit == "%" else 1
        args: dict[str, Any] = {"n": value.n, "utterances": cell.utterances, "normalizer": scores.normalizer}
        if value.low is not None and value.high is not None:
            args["interval_95"] = [round(scale * value.low, 4), round(scale * value.high, 4)]
        if cell.few:
            args["few_utterances"] = True
        yield EvalResult(
            task_type=TASK,
            task_name="Automatic Speech Recognition",
            dataset_type=re.sub(r"[^A-Za-z0-9._-]+", "-", data),
            dataset_name=f"{data}, {part}" if part else data,
            dataset_config=part,
            dataset_split="+".join(splits) if splits else None,
            metric_type=name,
            metric_name=f"{metric.title} (%)" if metric.unit == "%" else metric.title,
            metric_value=round(scale * value.value, 4),
            metric_args=args,
        )


def _without_folders(scores: Scores) -> Scores:
    """Keep only the last name of every folder: where things lay on a machine is nobody's business."""
    names = {key: scores.settings.get(key) for key in ("model", "base", "data")}
    short = {
        key: value if key != "data" and _HUB_ID.fullmatch(value) and not Path(value).exists() else Path(value).name
        for key, value in names.items()
        if isinstance(value, str)
    }
    return replace(scores, settings={**scores.settings, **short})
