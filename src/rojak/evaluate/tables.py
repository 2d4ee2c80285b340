"""Tables over utterances with speech: confusions, particles one by one, switch pairs, the tagger's agreement."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rojak.evaluate.align import columns
from rojak.evaluate.counts import right_switches, switch_points
from rojak.evaluate.measure import UtteranceScore, particle_forms, tag_raw
from rojak.evaluate.metrics import f1, ratio
from rojak.records import LANGUAGES

Confusion = dict[str, dict[str, int]]
"""Said → heard → times."""

NOTHING = "(nothing)"
OTHER_WORD = "(other word)"


@dataclass(frozen=True, slots=True)
class Detection:
    """How well one kind of thing (a particle, a switch pair) was found.

    Attributes:
        said: Times in the reference.
        heard: Times in the hypothesis.
        right: Times both at the same place.
        recall: right / said, None if never said.
        precision: right / heard, None if never heard.
        f1: 2·right / (said + heard), None if never said.
    """

    said: int
    heard: int
    right: int
    recall: float | None
    precision: float | None
    f1: float | None

    @classmethod
    def from_counts(cls, said: int, heard: int, right: int) -> "Detection":
        """Work out the rates."""
        return cls(
            said,
            heard,
            right,
            _number(ratio(right, said)),
            _number(ratio(right, heard)),
            _number(f1(right, said, heard)),
        )


RELIABILITY_EDGES = (0.0, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Of the ranges of confidence in which the tagger's words are counted; each holds its upper end."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """The tagger's words of one range of confidence: how many, how sure it was of them on average, how often right."""

    words: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class TaggerAgreement:
    """The tagger against reference words whose languages came with the rows.

    Attributes:
        words: Words compared; `other` is left out.
        accuracy: Share with the same tag.
        confusion: Given tag → tagger's tag → words.
        reliability: The same by how sure the tagger was, least sure first; ranges without words are left out.
    """

    words: int
    accuracy: float | None
    confusion: Confusion
    reliability: tuple[Reliability, ...] = ()


def language_confusion(utterances: Iterable[UtteranceScore]) -> Confusion:
    """Count reference words by language and by what was heard in their place; inserted words are heard from nothing."""
    pairs: Counter[tuple[str, str]] = Counter()
    for score in utterances:
        for _, i, j in columns(score.ops):
            said = NOTHING if i is None else score.reference_languages[i]
            heard = NOTHING if j is None else score.hypothesis_languages[j]
            pairs[said, heard] += 1
    return _nest(pairs, (*LANGUAGES, "particle", "other", NOTHING))


def particle_table(utterances: Iterable[UtteranceScore]) -> dict[str, Detection]:
    """Count every particle by its canonical form, the most frequent first."""
    said: Counter[str] = Counter()
    heard: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for score in utterances:
        for _, reference, hypothesis in _particle_columns(score):
            said.update([reference] if reference else [])
            heard.update([hypothesis] if hypothesis else [])
            right.update([reference] if reference and reference == hypothesis else [])
    return _detections(said, heard, right)


def particle_confusion(utterances: Iterable[UtteranceScore]) -> Confusion:
    """Count what was heard for each particle, and what particles were heard for other words or for nothing."""
    pairs: Counter[tuple[str, str]] = Counter()
    for score in utterances:
        for op, reference, hypothesis in _particle_columns(score):
            said = reference or (NOTHING if op == "I" else OTHER_WORD)
            pairs[said, hypothesis or (NOTHING if op == "D" else OTHER_WORD)] += 1
    forms = sorted({name for pair in pairs for name in pair} - {OTHER_WORD, NOTHING})
    return _nest(pairs, (*forms, OTHER_WORD, NOTHING))


def switch_pairs(utterances: Iterable[UtteranceScore]) -> dict[str, Detection]:
    """Count switch points by their ordered pair of languages ("ms→en"), the most frequent first."""
    said: Counter[str] = Counter()
    heard: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for score in utterances:
        reference, hypothesis = score.reference_languages, score.hypothesis_languages
        said.update(f"{reference[a]}→{reference[b]}" for a, b in switch_points(reference))
        heard.update(f"{hypothesis[a]}→{hypothesis[b]}" for a, b in switch_points(hypothesis))
        right.update(f"{reference[a]}→{reference[b]}" for a, b in right_switches(score.ops, reference, hypothesis))
    return _detections(said, heard, right)


def tagger_agreement(utterances: Iterable[UtteranceScore]) -> TaggerAgreement | None:
    """Compare the tagger with the languages that came with the rows; None where no row has any."""
    pairs: Counter[tuple[str, str]] = Counter()
    judged: list[tuple[float, bool]] = []
    for score in utterances:
        if score.languages_from == "given":
            for given, word in zip(
                score.reference_languages,
                tag_raw(score.prediction.reference, score.reference_words),
                strict=True,
            ):
                pairs[given, word.language] += 1
                if given != "other":
                    judged.append((word.confidence, given == word.language))
    if not pairs:
        return None
    right = sum(agrees for _, agrees in judged)
    words = len(judged)
    confusion = _nest(pairs, (*LANGUAGES, "particle", "other"))
    return TaggerAgreement(words, _number(ratio(right, words)), confusion, reliability(judged))


def reliability(judged: Sequence[tuple[float, bool]]) -> tuple[Reliability, ...]:
    """Group (confidence, right) pairs by confidence; a well calibrated tagger is as often right as it is sure."""
    found = []
    for low, high in pairwise(RELIABILITY_EDGES):
        inside = [(sure, right) for sure, right in judged if low < sure <= high]
        if inside:
            count = len(inside)
            found.append(
                Reliability(count, sum(sure for sure, _ in inside) / count, sum(right for _, right in inside) / count)
            )
    return tuple(found)


def summarize(utterances: Sequence[UtteranceScore], particles: Mapping[str, Detection]) -> dict[str, float | None]:
    """Give the numbers that are no ratio of sums: `particle_macro_*`, means over particles said, and `rtf_p*`.

    `rtf_p50` and `rtf_p95` are the median and 95th percentile over utterances of decoding seconds / audio seconds.
    """
    said = [particle for particle in particles.values() if particle.said]
    factors = [
        score.prediction.decode_s / score.prediction.duration
        for score in utterances
        if score.prediction.duration and score.prediction.decode_s is not None
    ]
    p50, p95 = np.quantile(factors, [0.5, 0.95]).tolist() if factors else (None, None)
    return {
        "particle_macro_recall": _mean([particle.recall or 0.0 for particle in said]),
        "particle_macro_precision": _mean([particle.precision or 0.0 for particle in said]),
        "particle_macro_f1": _mean([particle.f1 or 0.0 for particle in said]),
        "rtf_p50": p50,
        "rtf_p95": p95,
    }


def _particle_columns(score: UtteranceScore) -> Iterator[tuple[str, str | None, str | None]]:
    """Give (op, particle said, particle heard) for the columns of an alignment that hold a particle on either side."""
    said = particle_forms(score.reference_words, score.reference_languages)
    heard = particle_forms(score.hypothesis_words, score.hypothesis_languages)
    for op, i, j in columns(score.ops):
        left = None if i is None else said[i]
        right = None if j is None else heard[j]
        if left or right:
            yield op, left, right


def _detections(said: Counter[str], heard: Counter[str], right: Counter[str]) -> dict[str, Detection]:
    names = sorted({*said, *heard}, key=lambda name: (-said[name], -heard[name], name))
    return {name: Detection.from_counts(said[name], heard[name], right[name]) for name in names}


def _nest(pairs: Mapping[tuple[str, str], int], order: Sequence[str]) -> Confusion:
    """Turn counted pairs into rows, both in the given order, without rows and entries that are 0."""
    rows = {said: {heard: pairs[said, heard] for heard in order if pairs.get((said, heard))} for said in order}
    return {said: row for said, row in rows.items() if row}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
