"""The results of a scoring: `Scores`, what reports, targets and comparisons are made from, and `metrics.json`.

Plain data: `to_json` gives it as an object of JSON, which `write` puts into files and `docs/metrics.md` describes.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rojak.evaluate import tables
from rojak.evaluate.measure import UtteranceScore


@dataclass(frozen=True, slots=True)
class Value:
    """A number with its 95 % interval.

    Attributes:
        value: A share (0.153 is 15.3 %) or a plain number; None is "not measured".
        low: Lower end of the interval; None when there is none.
        high: Upper end.
        n: How many things were measured: the denominator, or the things to find where it is an F1.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Cell:
    """The measures over a set of utterances: the whole test set or a part of it.

    Attributes:
        utterances: Number of utterances, clips without speech included.
        speakers: Number of known speakers.
        audio_s: Seconds of audio, of the utterances that tell it.
        few: Whether the numbers say little: fewer than `slices.FEW_UTTERANCES` utterances.
        resampled: What the intervals come from: "speakers", "utterances" (fewer than two speakers), None (no interval).
        metrics: Every name of `metrics.METRICS` and its value.
        counts: The sums behind them, by the names of `metrics.COUNTS`.
    """

    utterances: int
    speakers: int
    audio_s: float
    few: bool
    resampled: Literal["speakers", "utterances"] | None
    metrics: dict[str, Value]
    counts: dict[str, float]


@dataclass(frozen=True)
class Scores:
    """All results of one system on one test set.

    Attributes:
        system: Its name.
        normalizer: Name of the normaliser and its passes.
        settings: What made the predictions, passed through.
        overall: The whole test set.
        slices: Slicing → part → measures.
        language_confusion: Language said → language heard → words; deleted words are heard as `(nothing)`, inserted
            words said as `(nothing)`.
        particles: Canonical form → its counts, recall, precision and F1; their means are in `summary`.
        particle_confusion: Particle said → particle heard, `(other word)` or `(nothing)` → times.
        switch_pairs: "ms→en" → counts, recall, precision and F1.
        tagger: How well the tagger agrees with given reference words; None where no row gives any.
        summary: Numbers without an interval (`tables.summarize`).
        notes: Sentences that a reader of the numbers must know.
        utterances: Every utterance, in the order of the rows.
        labels: Slicing → part → indices into `utterances`.
    """

    system: str
    normalizer: str
    settings: dict[str, Any]
    overall: Cell
    slices: dict[str, dict[str, Cell]]
    language_confusion: tables.Confusion
    particles: dict[str, tables.Detection]
    particle_confusion: tables.Confusion
    switch_pairs: dict[str, tables.Detection]
    tagger: tables.TaggerAgreement | None
    summary: dict[str, float | None]
    notes: list[str]
    utterances: list[UtteranceScore] = field(repr=False)
    labels: dict[str, dict[str, list[int]]] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Give what `metrics.json` holds: everything but the utterances, with None for every number not measured."""
        return {
            "system": self.system,
            "normalizer": self.normalizer,
            "settings": self.settings,
            "notes": self.notes,
            "overall": asdict(self.overall),
            "slices": {
                slicing: {part: asdict(cell) for part, cell in parts.items()} for slicing, parts in self.slices.items()
            },
            "summary": self.summary,
            "particles": {form: asdict(found) for form, found in self.particles.items()},
            "switch_pairs": {pair: asdict(found) for pair, found in self.switch_pairs.items()},
            "language_confusion": self.language_confusion,
            "particle_confusion": self.particle_confusion,
            "tagger": asdict(self.tagger) if self.tagger else None,
        }
