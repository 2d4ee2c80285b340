"""The error browser's data: every utterance with its words, languages and alignments, worst first, as JSON.

The page's script draws it (`resources/report.js`); the shape of a row is in `_row`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rojak.audio import Samples
from rojak.evaluate.align import columns
from rojak.evaluate.measure import UtteranceScore, particle_forms
from rojak.evaluate.report.breakdown import SLICING_TITLES
from rojak.evaluate.report.html import Html
from rojak.evaluate.report.sound import Clips, embed_clips
from rojak.evaluate.results import Scores

MAX_ROWS_BYTES = 3_200_000
"""Of the rows in the page; the rest of a larger set, its better part, is left to predictions.jsonl."""
MAX_COLUMNS = 300
"""Columns of an alignment that are shown."""
MAX_RAW = 4000
"""Characters of a text as it was written that are shown."""

_LETTERS = {"ms": "m", "en": "e", "zh": "z", "ta": "t", "particle": "p", "other": "o"}


@dataclass(frozen=True)
class BrowserData:
    """What the script reads, as the text of JSON script elements, and how much of the whole it is."""

    rows: Html
    clips: Html
    num_rows: int
    num_utterances: int
    notes: list[str]


def browser_data(systems: Sequence[Scores], read_audio: Callable[[str], Samples | None] | None) -> BrowserData:
    """Collect the utterances of the first system, beside what the others made of them.

    Args:
        systems: The first one's utterances are shown.
        read_audio: Sound of an utterance; None embeds none.
    """
    first, *others = systems
    order = worst_first(first.utterances)
    found = [{score.prediction.audio_id: score for score in scores.utterances} for scores in others]
    parts = _slice_parts(first)
    rows: list[str] = []
    used = unlike = 0
    for index in order:
        score = first.utterances[index]
        beside = [by_id.get(score.prediction.audio_id) for by_id in found]
        same = [other if other and other.reference_words == score.reference_words else None for other in beside]
        row = json.dumps(_row(score, same, parts[index]), ensure_ascii=False, separators=(",", ":"))
        used += len(row.encode("utf-8", "replace"))
        if used > MAX_ROWS_BYTES:
            break
        unlike += sum(other is None for other in same)
        rows.append(row)
    shown = order[: len(rows)]
    clips = Clips({}, 0, 0)
    if read_audio is not None:
        clips = embed_clips((first.utterances[index].prediction.audio_id for index in shown), read_audio)
    slicings = {name: list(labels) for name, labels in first.labels.items() if len(labels) > 1}
    head = {
        "systems": [scores.system or f"system {n + 1}" for n, scores in enumerate(systems)],
        "slicings": slicings,
        "titles": {name: SLICING_TITLES.get(name, name) for name in slicings},
        "particles": list(first.particles),
        "total": len(order),
    }
    text = f'{{"head":{json.dumps(head, ensure_ascii=False)},"rows":[{",".join(rows)}]}}'
    notes = _notes(len(rows), len(order), unlike, clips)
    return BrowserData(script_json(text), script_json(json.dumps(clips.clips)), len(rows), len(order), notes)


def worst_first(utterances: Sequence[UtteranceScore]) -> list[int]:
    """Order utterances by WER, those with more errors first among equals; words heard in silence count one each."""

    def badness(index: int) -> tuple[float, int, str]:
        score = utterances[index]
        return -score.errors / max(1, len(score.reference_words)), -score.errors, score.prediction.audio_id

    return sorted(range(len(utterances)), key=badness)


def script_json(text: str) -> Html:
    """Make JSON safe inside a script element, whatever strings it holds: no `<` is left to close the element."""
    return Html(text.replace("<", "\\u003c"))


def _slice_parts(scores: Scores) -> list[dict[str, int]]:
    """Give each utterance its parts: slicing → number of the part."""
    parts: list[dict[str, int]] = [{} for _ in scores.utterances]
    for name, labels in scores.labels.items():
        for number, indices in enumerate(labels.values()):
            for index in indices:
                parts[index][name] = number
    return parts


def _row(score: UtteranceScore, others: Sequence[UtteranceScore | None], parts: dict[str, int]) -> dict[str, Any]:
    """Build a row: id, reference (words, languages, as written), what each system made of it, and where it belongs."""
    prediction = score.prediction
    limit = min(len(score.reference_words), MAX_COLUMNS)
    about = [prediction.language, prediction.speaker_id, getattr(prediction, "domain", None)]
    about += [f"{prediction.duration:.1f} s"] if prediction.duration is not None else []
    about += [f"noise at {prediction.added_snr_db:.0f} dB"] if prediction.added_snr_db is not None else []
    return {
        "id": prediction.audio_id,
        "about": " · ".join(str(part) for part in about if part),
        "n": len(score.reference_words),
        "d": prediction.duration,
        "w": score.reference_words[:limit],
        "l": _letters(score.reference_languages[:limit]),
        "raw": prediction.reference[:MAX_RAW],
        "x": parts,
        "s": [_system(one) if one else None for one in (score, *others)],
    }


def _system(score: UtteranceScore) -> dict[str, Any]:
    """Build a system's part of a row: alignment, words, languages, errors, flags, particles wrong and right."""
    ops = score.ops[:MAX_COLUMNS]
    heard = len(ops) - ops.count("D")
    counts = score.counts
    particles, wrong = _particles(score)
    built: dict[str, Any] = {
        "o": ops,
        "h": score.hypothesis_words[:heard],
        "l": _letters(score.hypothesis_languages[:heard]),
        "e": score.errors,
        "raw": score.prediction.hypothesis[:MAX_RAW],
    }
    optional = {
        "f": list(score.flags),
        "p": particles,
        "pw": wrong,
        "lw": _languages_wrong(score),
        "sw": round(counts.get("switches", 0) - counts.get("switches_right", 0)),
        "cut": len(score.ops) - len(ops),
    }
    return built | {key: value for key, value in optional.items() if value}


def _letters(languages: Sequence[str]) -> str:
    return "".join(_LETTERS[language] for language in languages)


def _particles(score: UtteranceScore) -> tuple[list[str], list[str]]:
    """Give the particles said or heard, and those of them that were missed, confused or made up."""
    said = particle_forms(score.reference_words, score.reference_languages)
    heard = particle_forms(score.hypothesis_words, score.hypothesis_languages)
    every: dict[str, None] = {}
    wrong: dict[str, None] = {}
    for _, i, j in columns(score.ops):
        left, right = said[i] if i is not None else None, heard[j] if j is not None else None
        for form in (left, right):
            if form is not None:
                every[form] = None
                if left != right:
                    wrong[form] = None
    return list(every), list(wrong)


def _languages_wrong(score: UtteranceScore) -> int:
    return sum(
        i is not None and j is not None and score.reference_languages[i] != score.hypothesis_languages[j]
        for _, i, j in columns(score.ops)
    )


def _notes(num_rows: int, num_utterances: int, unlike: int, clips: Clips) -> list[str]:
    notes = []
    if num_rows < num_utterances:
        notes.append(
            f"The error browser holds the worst {num_rows:,} of {num_utterances:,} utterances; "
            "predictions.jsonl holds all."
        )
    if unlike:
        notes.append(f"Utterances without a row of a compared system, or with another reference there: {unlike:,}.")
    if clips.missing:
        notes.append(f"Utterances whose sound could not be read: {clips.missing:,}.")
    if clips.too_big:
        notes.append(f"Utterances whose sound did not fit in the page: {clips.too_big:,}.")
    return notes
