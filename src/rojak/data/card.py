"""Describe prepared data: `stats.json` for programs, `README.md` (a Hugging Face dataset card) for people."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from rojak.data.clips import Refusal
from rojak.data.split import ClipFacts
from rojak.records import SPLITS, Split


def corpus_stats(facts: Sequence[ClipFacts], splits: Sequence[Split]) -> dict[str, Any]:
    """Sum up clips, hours and speakers by split, and hours by language and quality."""
    by_split: dict[str, dict[str, Any]] = {}
    for split in SPLITS:
        chosen = [clip for clip, found in zip(facts, splits, strict=True) if found == split]
        by_split[split] = {
            "clips": len(chosen),
            "hours": _hours(chosen),
            "speakers": len({clip.speaker_id for clip in chosen if clip.speaker_id}),
        }
    return {
        "clips": len(facts),
        "hours": _hours(facts),
        "splits": by_split,
        "hours_by_language": _hours_by(facts, "language"),
        "hours_by_quality": _hours_by(facts, "quality_score"),
    }


def count_reasons(refusals: Iterable[Refusal]) -> dict[str, int]:
    """Count refusals by reason, most frequent first."""
    return dict(Counter(refusal.reason for refusal in refusals).most_common())


def _hours(facts: Sequence[ClipFacts]) -> float:
    return round(sum(clip.duration for clip in facts) / 3600, 4)


def _hours_by(facts: Sequence[ClipFacts], field: str) -> dict[str, float]:
    groups: dict[str, list[ClipFacts]] = defaultdict(list)
    for clip in facts:
        value = getattr(clip, field)
        groups["unknown" if value is None else str(value)].append(clip)
    return {name: _hours(groups[name]) for name in sorted(groups)}


def dataset_card(name: str, stats: dict[str, Any]) -> str:
    """Write the card: YAML that tells `datasets` where the splits are, then a table of hours and what was refused."""
    present = [split for split in SPLITS if stats["splits"][split]["clips"]]
    languages = [name for name in stats["hours_by_language"] if name in ("ms", "en", "zh", "ta")]
    lines = ["---", "task_categories:", "- automatic-speech-recognition"]
    if languages:
        lines += ["language:", *(f"- {language}" for language in languages)]
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for split in present:
        lines += [f"  - split: {split}", f"    path: data/{split}-*.parquet"]
    lines += ["---", "", f"# {name}", ""]
    lines += ["Speech prepared by Rojak: 16 kHz mono FLAC and one record a clip, in Parquet.", ""]
    lines += ["| split | clips | hours | speakers |", "|---|---:|---:|---:|"]
    for split in present:
        row = stats["splits"][split]
        lines.append(f"| {split} | {row['clips']} | {row['hours']:.2f} | {row['speakers'] or 'unknown'} |")
    lines += ["", "Hours by language: " + _listed(stats["hours_by_language"]) + "."]
    lines += ["Hours by quality (1 worst, 5 best): " + _listed(stats["hours_by_quality"]) + "."]
    refused = stats["refused"]
    lines += ["", f"Refused clips: {sum(refused.values())}" + (f" ({_listed(refused)})" if refused else "") + "."]
    lines += ["", *(f"- {note}" for note in stats["notes"])] if stats["notes"] else []
    lines += ["", "```python", "from datasets import load_dataset", f'load_dataset("{name}")', "```", ""]
    return "\n".join(lines)


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
