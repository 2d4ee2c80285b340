"""`rojak inspect`: survey prepared data and write DIR/inspect.html; give the same as a document for programs."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

from rojak.data.clips import Refusal
from rojak.errors import InputError
from rojak.evaluate.inspect.page import MAX_REFUSED, build_page
from rojak.evaluate.inspect.sound import find_refused, prepared_reader
from rojak.evaluate.inspect.survey import Survey, read_stats, survey_prepared
from rojak.model.names import token_counter
from rojak.runs import write_bytes

PAGE_NAME = "inspect.html"


def inspect(
    prepared_dir: Path,
    out: Path | None = None,
    *,
    source: str | None = None,
    count_tokens: Callable[[str], int] | None = None,
    clips: Collection[str] = (),
) -> tuple[Survey, Path]:
    """Write the page about prepared data.

    Args:
        prepared_dir: Written by `prepare`; nothing in it is changed.
        out: The page; by default PREPARED_DIR/inspect.html, which goes when the data is prepared anew.
        source: The corpus that was prepared, so that refused clips can be read and heard.
        count_tokens: Label tokens of a transcript.
        clips: Audio ids to be shown before all others.

    Returns:
        What was found, and the page.

    Raises:
        InputError: The folder is no prepared data, it holds no such clip, or corpus or page cannot be read or written.
    """
    survey = survey_prepared(prepared_dir, count_tokens, clips)
    shown = list(islice(spread(survey.refusals), MAX_REFUSED))
    refused = find_refused(shown, source, survey.stats.get("settings", {}))
    path = out or prepared_dir / PAGE_NAME
    page = build_page(f"What is in {prepared_dir.resolve().name}", survey, refused, prepared_reader(prepared_dir))
    write_bytes(path, page.encode("utf-8", errors="replace"))
    return survey, path


def recorded_counter(prepared_dir: Path) -> Callable[[str], int] | None:
    """Give the counter of label tokens that `prepare` used; None where it used none or it cannot be had any more.

    Raises:
        InputError: The folder is no prepared data.
    """
    name = read_stats(prepared_dir).get("settings", {}).get("tokenizer")
    try:
        return token_counter(name) if name else None
    except InputError:
        return None


def spread(refusals: Sequence[Refusal]) -> list[Refusal]:
    """Order refusals so that each reason is seen early: the first of every reason, then the second, and so on."""
    by_reason: dict[str, list[Refusal]] = defaultdict(list)
    for refusal in refusals:
        by_reason[refusal.reason].append(refusal)
    turns = chain.from_iterable(zip_longest(*by_reason.values()))
    return [refusal for refusal in turns if refusal is not None]


def survey_document(survey: Survey) -> dict[str, Any]:
    """Give a survey as a JSON document."""
    return {
        "clips": survey.clips,
        "hours": round(survey.hours, 4),
        "hours_by": {
            name: {part: {"clips": share.clips, "hours": round(share.hours, 4)} for part, share in parts.items()}
            for name, parts in survey.shares.items()
        },
        "histograms": {name: asdict(found) for name, found in survey.histograms.items()},
        "particles": survey.particles,
        "switch_pairs": survey.switch_pairs,
        "suspicious": [
            {
                "audio_id": clip.record.audio_id,
                "split": clip.record.split,
                "text": clip.record.text,
                "reasons": [{"reason": one.reason, "detail": one.detail} for one in clip.suspicions],
            }
            for clip in survey.suspicious
        ],
        "refused": survey.stats.get("refused", {}),
        "quarantine": [asdict(refusal) for refusal in survey.refusals],
        "notes": survey.notes,
    }
