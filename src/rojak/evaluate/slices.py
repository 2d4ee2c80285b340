"""Slices: the parts of a test set whose results are shown beside the whole.

A slicing names a field of the record, or one of the derived ones below, and gives every utterance a label, or None when
it is in no part.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from rojak.evaluate.measure import UtteranceScore
from rojak.records import LANGUAGES

SNR_EDGES_DB = (0.0, 5.0, 10.0, 15.0, 20.0)
DURATION_EDGES_S = (0.0, 2.0, 5.0, 10.0, 20.0, 30.0)
CMI_EDGES = (0.0, 15.0, 30.0, 45.0)

DEFAULT_SLICES = (
    "language",
    "language_pair",
    "added_snr",
    "accent",
    "domain",
    "duration",
    "cmi",
    "speaker_id",
    "source",
)
"""Slicings shown when the data have them."""

FEW_UTTERANCES = 20
"""Cells with fewer utterances are marked: their numbers say little."""


def bucket(value: float, edges: tuple[float, ...], unit: str) -> str:
    """Name the half-open range `[low, high)` that holds a value: "10–15 dB", "≥ 20 dB", "< 0 dB"."""
    if value < edges[0]:
        return f"< {edges[0]:g}{unit}"
    for low, high in pairwise(edges):
        if value < high:
            return f"{low:g}–{high:g}{unit}"
    return f"≥ {edges[-1]:g}{unit}"


def _bucket_names(edges: tuple[float, ...], unit: str) -> list[str]:
    return [bucket(value, edges, unit) for value in (edges[0] - 1, *edges)]


def _added_snr(score: UtteranceScore) -> str | None:
    added = score.prediction.added_snr_db
    return "clean" if added is None else bucket(added, SNR_EDGES_DB, " dB")


def _duration(score: UtteranceScore) -> str | None:
    seconds = score.prediction.duration
    return None if seconds is None else bucket(seconds, DURATION_EDGES_S, " s")


def _cmi(score: UtteranceScore) -> str | None:
    if score.cmi > 0:
        return bucket(score.cmi, CMI_EDGES, "")
    return "one language" if any(language in LANGUAGES for language in score.reference_languages) else None


def _language_pair(score: UtteranceScore) -> str | None:
    return "+".join(lang for lang in LANGUAGES if lang in score.reference_languages) or None


_DERIVED: dict[str, Callable[[UtteranceScore], str | None]] = {
    "added_snr": _added_snr,
    "duration": _duration,
    "cmi": _cmi,
    "language_pair": _language_pair,
}

_ORDER = {
    name: place
    for place, name in enumerate(
        [
            *LANGUAGES,
            "mixed",
            "clean",
            *reversed(_bucket_names(SNR_EDGES_DB, " dB")),
            *_bucket_names(DURATION_EDGES_S, " s"),
            "one language",
            *_bucket_names(CMI_EDGES, ""),
        ]
    )
}


def slice_label(score: UtteranceScore, slicing: str) -> str | None:
    """Give the part of a slicing that an utterance belongs to, None when the utterance lacks the field."""
    if slicing in _DERIVED:
        return _DERIVED[slicing](score)
    value: Any = getattr(score.prediction, slicing, None)
    return None if value is None or isinstance(value, (list, tuple, dict)) else str(value)


def group_by_slice(scores: Iterable[UtteranceScore], slicing: str) -> dict[str, list[int]]:
    """Give the indices of the utterances in each part, parts in reading order.

    Empty when no utterance has the field, or when all count as "clean" only because none tells of added noise.
    """
    groups: dict[str, list[int]] = {}
    for index, score in enumerate(scores):
        label = slice_label(score, slicing)
        if label is not None:
            groups.setdefault(label, []).append(index)
    if slicing == "added_snr" and set(groups) == {"clean"}:
        return {}
    return dict(sorted(groups.items(), key=lambda item: (_ORDER.get(item[0], len(_ORDER)), item[0])))
