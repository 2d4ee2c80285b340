"""The scorer: predictions in, every measure out, with its interval, for the whole set and for its slices.

`score_predictions` is the one function. The shape of what it gives is in `results`, the measures are in `metrics`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rojak.errors import InputError
from rojak.evaluate import tables
from rojak.evaluate.measure import UtteranceScore, measure
from rojak.evaluate.metrics import COUNTS, METRICS, Metric
from rojak.evaluate.prediction import Prediction
from rojak.evaluate.read import read_predictions
from rojak.evaluate.results import Cell, Scores, Value
from rojak.evaluate.slices import DEFAULT_SLICES, FEW_UTTERANCES, group_by_slice
from rojak.evaluate.stats import bootstrap_sums, percentile_interval, sum_by_cluster
from rojak.text.normalize import PLAIN, TextOptions, normalizer_name
from rojak.text.wordlists import name_own_lists

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScoreOptions:
    """How to score.

    Attributes:
        text: Optional passes of the normaliser.
        slices: Slicings: fields of the rows, or `language_pair`, `added_snr`, `duration`, `cmi`.
        resamples: Of the bootstrap; 0 gives no intervals.
        seed: Of the bootstrap.
        system: A name for tables.
        settings: Whatever made the predictions (model, decoding); passed through to the results.
    """

    text: TextOptions = PLAIN
    slices: tuple[str, ...] = DEFAULT_SLICES
    resamples: int = 10_000
    seed: int = 0
    system: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


def score_predictions(
    rows: Iterable[Prediction],
    options: ScoreOptions | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Scores:
    """Score what a system made of a test set.

    Args:
        rows: One prediction an utterance; rows with an empty reference are clips without speech.
        options: How to score.
        on_progress: Called with the number of utterances done, after each.

    Raises:
        InputError: There are no rows, or two have the same `audio_id`, or a pair is too long to align.
    """
    options = options or ScoreOptions()
    utterances: list[UtteranceScore] = []
    seen: set[str] = set()
    for row in rows:
        if row.audio_id in seen:
            raise InputError(f"The predictions hold audio_id {row.audio_id} twice; every utterance may have one row.")
        seen.add(row.audio_id)
        utterances.append(measure(row, options.text))
        if on_progress is not None:
            on_progress(len(utterances))
    if not utterances:
        raise InputError("There are no predictions to score; give at least one row.")
    counts = count_table(utterances)
    labels = {name: group for name in options.slices if (group := group_by_slice(utterances, name))}
    overall = measure_cell(utterances, counts, options)
    speech = [score for score in utterances if score.reference_words]
    particles = tables.particle_table(speech)
    return Scores(
        system=options.system,
        normalizer=normalizer_name(options.text),
        settings=options.settings,
        overall=overall,
        slices={
            name: {
                part: measure_cell([utterances[i] for i in indices], counts[indices], options)
                for part, indices in group.items()
            }
            for name, group in labels.items()
        },
        language_confusion=tables.language_confusion(speech),
        particles=particles,
        particle_confusion=tables.particle_confusion(speech),
        switch_pairs=tables.switch_pairs(speech),
        tagger=tables.tagger_agreement(utterances),
        summary=tables.summarize(utterances, particles),
        notes=_notes(utterances, overall),
        utterances=utterances,
        labels=labels,
    )


def score(
    path: Path,
    reference_path: Path | None = None,
    options: ScoreOptions | None = None,
    allow_empty: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> Scores:
    """Score a file of transcripts, of any system and without audio; `read.read_predictions` tells what it may hold.

    Args:
        path: JSON Lines, CSV or TSV; names the system when the options do not.
        reference_path: File with the references, when they are not in `path`.
        options: How to score.
        allow_empty: Whether a reference may be empty (a clip without speech).
        on_progress: Called with the number of utterances done, after each.

    Raises:
        InputError: The file cannot be read or scored.
    """
    options = options or ScoreOptions()
    if not options.system:
        options = replace(options, system=path.parent.name if path.stem == "predictions" else path.stem)
    return score_predictions(read_predictions(path, reference_path, allow_empty), options, on_progress)


def count_table(utterances: Sequence[UtteranceScore]) -> Floats:
    """Lay the counts of utterances out as `(utterances, len(COUNTS))`."""
    column = {name: place for place, name in enumerate(COUNTS)}
    table = np.zeros((len(utterances), len(COUNTS)))
    for row, score in enumerate(utterances):
        for name, value in score.counts.items():
            table[row, column[name]] = value
    return table


def cluster_utterances(
    utterances: Sequence[UtteranceScore],
) -> tuple[list[int], Literal["speakers", "utterances"] | None]:
    """Number what is resampled: speakers, or utterances when fewer than two speakers are known; None if there is one.

    An utterance whose speaker is unknown stands for itself.
    """
    speakers = {score.prediction.speaker_id for score in utterances} - {None}
    if len(utterances) < 2:
        return [0] * len(utterances), None
    if len(speakers) < 2:
        return list(range(len(utterances))), "utterances"
    numbers: dict[Any, int] = {}
    keys = (score.prediction.speaker_id or (score.prediction.audio_id,) for score in utterances)
    return [numbers.setdefault(key, len(numbers)) for key in keys], "speakers"


def measure_cell(utterances: Sequence[UtteranceScore], counts: Floats, options: ScoreOptions) -> Cell:
    """Compute every measure over a set of utterances, with its interval."""
    sums = dict(zip(COUNTS, counts.sum(axis=0).tolist(), strict=True))
    clusters, resampled = cluster_utterances(utterances)
    resamples: dict[str, Floats] | None = None
    if resampled is not None and options.resamples:
        drawn = bootstrap_sums(sum_by_cluster(counts, clusters), options.resamples, options.seed)
        resamples = dict(zip(COUNTS, drawn.T, strict=True))
    return Cell(
        utterances=len(utterances),
        speakers=len({score.prediction.speaker_id for score in utterances} - {None}),
        audio_s=sum(score.prediction.duration or 0.0 for score in utterances),
        few=len(utterances) < FEW_UTTERANCES,
        resampled=resampled if resamples is not None else None,
        metrics={name: _value(metric, sums, resamples) for name, metric in METRICS.items()},
        counts=sums,
    )


def _value(metric: Metric, sums: dict[str, float], resamples: dict[str, Floats] | None) -> Value:
    base = sum(sums[name] for name in metric.base)
    if not base:
        return Value(None, None, None, 0)
    interval = percentile_interval(metric.compute(resamples)) if resamples is not None else None
    low, high = interval or (None, None)
    return Value(float(metric.compute(sums)), low, high, round(base))


def _notes(utterances: Sequence[UtteranceScore], overall: Cell) -> list[str]:
    """Say what a reader must know before believing the numbers."""
    notes = [f"Words and particles of {', '.join(lists)} are known." for lists in [name_own_lists()] if lists]
    if overall.resampled == "utterances":
        notes.append(
            "Fewer than two speakers are known, so intervals come from resampling utterances and are too narrow."
        )
    elif overall.resampled == "speakers" and overall.speakers < 10:
        notes.append(f"Intervals come from only {overall.speakers} speakers and are rough.")
    if overall.few:
        noun = "utterance" if overall.utterances == 1 else "utterances"
        notes.append(f"Only {overall.utterances} {noun}: too few for firm conclusions.")
    silent = sum("nonspeech" in score.flags for score in utterances)
    if silent:
        notes.append(f"References without words, taken as clips without speech and left out of WER and CER: {silent}.")
    tagged = sum(score.languages_from == "tagged" and bool(score.reference_words) for score in utterances)
    if tagged:
        notes.append(f"References whose words got their languages from the tagger: {tagged}.")
    differ = sum(score.languages_from == "differ" for score in utterances)
    if differ:
        notes.append(f"Rows whose `words` are not the words of `reference`, so that the tagger filled in: {differ}.")
    return notes
