"""Sum up prepared data: hours, histograms, particles, switches, suspicious and refused clips.

Reads DIR/data/*.parquet (records only), DIR/stats.json and DIR/quarantine.jsonl.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from rojak.data.clips import Refusal
from rojak.data.shards import open_prepared
from rojak.errors import InputError
from rojak.evaluate.inspect.suspicion import ASKED_FOR, Suspicion, Suspicions, speaking_rate
from rojak.records import LANGUAGES, SPLITS, Utterance
from rojak.runs import read_jsonl

UNKNOWN = "not given"
BINS = 30


@dataclass(frozen=True)
class Share:
    """Clips and hours of one part of the data."""

    clips: int
    hours: float


@dataclass(frozen=True)
class Histogram:
    """Counts between edges; `counts[i]` lie from `edges[i]` to `edges[i + 1]`."""

    edges: list[float]
    counts: list[int]
    median: float


@dataclass(frozen=True)
class SuspiciousClip:
    """A prepared clip worth hearing, and why."""

    record: Utterance
    suspicions: list[Suspicion]


@dataclass(frozen=True)
class Survey:
    """What prepared data holds."""

    clips: int
    hours: float
    stats: dict[str, Any]
    shares: dict[str, dict[str, Share]]
    histograms: dict[str, Histogram]
    particles: dict[str, int]
    switch_pairs: dict[str, int]
    suspicious: list[SuspiciousClip]
    refusals: list[Refusal]
    notes: list[str] = field(default_factory=list)


def survey_prepared(
    prepared_dir: Path, count_tokens: Callable[[str], int] | None = None, clips: Collection[str] = ()
) -> Survey:
    """Go through every record of prepared data.

    Args:
        prepared_dir: Written by `prepare`.
        count_tokens: Label tokens of a transcript; None leaves their histogram out.
        clips: Audio ids to be shown before all others.

    Raises:
        InputError: The folder is no prepared data, a file in it is broken, or it holds no such clip.
    """
    records = [record for split in SPLITS for record in open_prepared(prepared_dir, split).records()]
    stats = read_stats(prepared_dir)
    if missing := set(clips) - {record.audio_id for record in records}:
        raise InputError(f"{prepared_dir} holds no clip {min(missing)!r}; those refused are in quarantine.jsonl.")
    tokens = [count_tokens(record.text) if count_tokens else None for record in records]
    judge = Suspicions(records)
    suspicious = []
    for record, num_tokens in zip(records, tokens, strict=True):
        asked = [Suspicion(ASKED_FOR, "", 1.0)] if record.audio_id in clips else []
        if found := asked + judge.of(record, num_tokens):
            suspicious.append(SuspiciousClip(record, found))
    suspicious.sort(key=lambda clip: (-sum(one.weight for one in clip.suspicions), clip.record.audio_id))
    suspicious.sort(key=lambda clip: clip.record.audio_id not in clips)
    return Survey(
        clips=len(records),
        hours=sum(record.duration for record in records) / 3600,
        stats=stats,
        shares=_shares(records),
        histograms=_histograms(records, tokens),
        particles=dict(Counter(form for record in records for form in _particles(record)).most_common()),
        switch_pairs=dict(Counter(pair for record in records for pair in switch_pairs(record)).most_common()),
        suspicious=suspicious,
        refusals=_read_quarantine(prepared_dir),
        notes=list(stats.get("notes", [])),
    )


def _shares(records: Iterable[Utterance]) -> dict[str, dict[str, Share]]:
    """Clips and hours by each field, those with most hours first; languages and qualities in their own order."""
    sums: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0, 0.0]))
    for record in records:
        for name in ("language", "quality_score", "split", "source", "speaker_id", "domain", "accent"):
            value = getattr(record, name)
            cell = sums[name][UNKNOWN if value is None else str(value)]
            cell[0] += 1
            cell[1] += record.duration / 3600
    orders: dict[str, list[str]] = {
        "language": [*LANGUAGES, "mixed"],
        "quality_score": list("54321"),
        "split": list(SPLITS),
    }
    shares = {}
    for name, parts in sums.items():
        order = orders.get(name, sorted(parts, key=lambda part: -parts[part][1]))
        names = [part for part in order if part in parts] + [part for part in parts if part not in order]
        shares[name] = {part: Share(int(parts[part][0]), parts[part][1]) for part in names}
    return shares


def _histograms(records: list[Utterance], tokens: list[int | None]) -> dict[str, Histogram]:
    values: dict[str, list[float]] = {
        "duration_s": [record.duration for record in records],
        "snr_db": [record.snr_db for record in records if record.snr_db is not None],
        "syllables_per_s": [speaking_rate(record) for record in records],
        "tokens": [number for number in tokens if number is not None],
    }
    return {name: histogram(found) for name, found in values.items() if found}


def histogram(values: list[float]) -> Histogram:
    """Count values in at most `BINS` bins of equal, round width."""
    low, high = float(min(values)), float(max(values))
    raw = max((high - low) / BINS, 1e-9)
    power = 10.0 ** np.floor(np.log10(raw))
    width = float(next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999))
    if all(isinstance(value, int) for value in values):
        width = max(1.0, width)
    first = np.floor(low / width)
    edges = np.round((first + np.arange(np.floor(high / width) - first + 2)) * width, 9)
    counts, _ = np.histogram(values, edges)
    return Histogram(edges.tolist(), counts.tolist(), float(np.median(values)))


def _particles(record: Utterance) -> list[str]:
    found = (record.model_extra or {}).get("particles")
    return [str(form) for form in found] if isinstance(found, list) else []


def switch_pairs(record: Utterance) -> list[str]:
    """Name every change of language between words that have one, such as `ms → en`."""
    spoken = [word.language for word in record.words or () if word.language in LANGUAGES]
    return [f"{one} → {other}" for one, other in pairwise(spoken) if one != other]


def read_stats(prepared_dir: Path) -> dict[str, Any]:
    """Read stats.json; raises `InputError` where it is missing or broken."""
    path = prepared_dir / "stats.json"
    try:
        stats = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{prepared_dir}: is not prepared data; make it with `rojak prepare SOURCE {prepared_dir}`."
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); prepare the data again.") from None
    if not isinstance(stats, dict):
        raise InputError(f"{path}: is not what prepare wrote; prepare the data again.")
    return stats


def _read_quarantine(prepared_dir: Path) -> list[Refusal]:
    path = prepared_dir / "quarantine.jsonl"
    try:
        return [Refusal(**line) for line in read_jsonl(path)]
    except (OSError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); prepare the data again.") from None
