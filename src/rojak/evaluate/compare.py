"""Compare systems on the same utterances: differences, their intervals, how sure the better one is, what changed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rojak.errors import InputError
from rojak.evaluate.measure import UtteranceScore
from rojak.evaluate.metrics import COUNTS, METRICS, Metric
from rojak.evaluate.results import Scores
from rojak.evaluate.score import cluster_utterances, count_table
from rojak.evaluate.slices import FEW_UTTERANCES
from rojak.evaluate.stats import (
    MatchedPairs,
    bootstrap_sums,
    error_segments,
    matched_pairs,
    percentile_interval,
    probability_less,
    sum_by_cluster,
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of two systems.

    Attributes:
        first: The first system's value.
        second: The second system's.
        difference: second less first.
        low: Lower end of the difference's 95 % interval, from the paired bootstrap.
        high: Upper end.
        p_better: Share of resamples in which the second system is the better one, ties half; None for a measure without
            a better side or without resamples.
        significant: Whether the interval leaves 0 out; None without an interval.
    """

    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None
    p_better: float | None
    significant: bool | None


@dataclass(frozen=True, slots=True)
class ComparedCell:
    """Two systems over a set of utterances: every measure, and the MAPSSWE test of their word errors."""

    utterances: int
    few: bool
    metrics: dict[str, Difference]
    mapsswe: MatchedPairs


@dataclass(frozen=True, slots=True)
class Change:
    """An utterance on which two systems differ: word errors of each."""

    audio_id: str
    words: int
    first_errors: int
    second_errors: int
    index: int
    """Place in both systems' `utterances`."""


@dataclass(frozen=True)
class Comparison:
    """A second system held against a first.

    Attributes:
        first: Name of the first.
        second: Name of the second.
        overall: The whole test set.
        slices: Slicing → part → comparison.
        better: Utterances on which the second makes fewer word errors, the greatest gain first.
        worse: Those on which it makes more, the greatest loss first.
        same: Number of utterances with as many errors in both.
    """

    first: str
    second: str
    overall: ComparedCell
    slices: dict[str, dict[str, ComparedCell]]
    better: list[Change]
    worse: list[Change]
    same: int

    def to_json(self) -> dict[str, Any]:
        """Give the comparison as an object of JSON."""
        return asdict(self)


def compare(systems: Sequence[Scores], resamples: int = 10_000, seed: int = 0) -> list[Comparison]:
    """Hold the second and every further system against the first.

    Args:
        systems: Two or more, scored on the same utterances with the same normaliser; order of utterances is free.
        resamples: Of the paired bootstrap; 0 gives no intervals.
        seed: Of the bootstrap.

    Raises:
        InputError: There are fewer than two systems, or their utterances, references or normalisers differ.
    """
    if len(systems) < 2:
        raise InputError("Comparing needs two systems or more; give at least two prediction files.")
    first = systems[0]
    return [_compare_two(first, _aligned(first, other), resamples, seed) for other in systems[1:]]


def _aligned(first: Scores, other: Scores) -> Scores:
    """Check that two systems were scored on the same utterances; give the second's in the order of the first."""
    names = f"{first.system or 'the first system'} and {other.system or 'the other'}"
    if first.normalizer != other.normalizer:
        raise InputError(
            f"The normalisers of {names} differ ({first.normalizer}, {other.normalizer}); use one for both."
        )
    places = {score.prediction.audio_id: index for index, score in enumerate(other.utterances)}
    ids = [score.prediction.audio_id for score in first.utterances]
    unmatched = sorted(set(ids) ^ set(places))
    if unmatched:
        shown = ", ".join(unmatched[:3]) + (" …" if len(unmatched) > 3 else "")
        raise InputError(f"The audio ids of {names} do not match: {len(unmatched)} are in only one ({shown}).")
    ordered = [other.utterances[places[audio_id]] for audio_id in ids]
    for ours, theirs in zip(first.utterances, ordered, strict=True):
        if ours.reference_words != theirs.reference_words:
            raise InputError(
                f"The references of {names} differ at {ours.prediction.audio_id}; score both against the same."
            )
    return replace(other, utterances=ordered, labels=first.labels)


def _compare_two(first: Scores, second: Scores, resamples: int, seed: int) -> Comparison:
    tables = count_table(first.utterances), count_table(second.utterances)

    def cell(indices: Sequence[int]) -> ComparedCell:
        pairs = [(first.utterances[i], second.utterances[i]) for i in indices]
        return _compare_cell(pairs, tables[0][indices], tables[1][indices], resamples, seed)

    changes = [
        Change(ours.prediction.audio_id, len(ours.reference_words), ours.errors, theirs.errors, index)
        for index, (ours, theirs) in enumerate(zip(first.utterances, second.utterances, strict=True))
    ]
    changes.sort(key=lambda change: (change.second_errors - change.first_errors, change.audio_id))
    return Comparison(
        first=first.system,
        second=second.system,
        overall=cell(range(len(first.utterances))),
        slices={
            slicing: {part: cell(indices) for part, indices in parts.items()} for slicing, parts in first.labels.items()
        },
        better=[change for change in changes if change.second_errors < change.first_errors],
        worse=[change for change in reversed(changes) if change.second_errors > change.first_errors],
        same=sum(change.second_errors == change.first_errors for change in changes),
    )


def _compare_cell(
    pairs: Sequence[tuple[UtteranceScore, UtteranceScore]],
    first_counts: Floats,
    second_counts: Floats,
    resamples: int,
    seed: int,
) -> ComparedCell:
    clusters, resampled = cluster_utterances([ours for ours, _ in pairs])
    drawn: tuple[dict[str, Floats], dict[str, Floats]] | None = None
    if resampled is not None and resamples:
        both = sum_by_cluster(np.hstack([first_counts, second_counts]), clusters)
        sums = bootstrap_sums(both, resamples, seed).T
        drawn = _by_name(sums[: len(COUNTS)]), _by_name(sums[len(COUNTS) :])
    totals = _by_name(first_counts.sum(axis=0)), _by_name(second_counts.sum(axis=0))
    segments = [
        segment for ours, theirs in pairs if ours.reference_words for segment in error_segments(ours.ops, theirs.ops)
    ]
    return ComparedCell(
        utterances=len(pairs),
        few=len(pairs) < FEW_UTTERANCES,
        metrics={name: _difference(metric, totals, drawn) for name, metric in METRICS.items()},
        mapsswe=matched_pairs([errors for errors, _ in segments], [errors for _, errors in segments]),
    )


def _by_name(values: Floats) -> dict[str, Any]:
    return dict(zip(COUNTS, values, strict=True))


def _difference(
    metric: Metric,
    totals: tuple[dict[str, Any], dict[str, Any]],
    drawn: tuple[dict[str, Floats], dict[str, Floats]] | None,
) -> Difference:
    first, second = (_known(float(metric.compute(sums))) for sums in totals)
    if first is None or second is None:
        return Difference(first, second, None, None, None, None, None)
    if drawn is None:
        return Difference(first, second, second - first, None, None, None, None)
    ours, theirs = metric.compute(drawn[0]), metric.compute(drawn[1])
    low, high = percentile_interval(theirs - ours) or (None, None)
    p_better = None
    if metric.better != "neither":
        p_better = _known(
            probability_less(theirs, ours) if metric.better == "lower" else probability_less(ours, theirs)
        )
    significant = None if low is None or high is None else not low <= 0 <= high
    return Difference(first, second, second - first, low, high, p_better, significant)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
