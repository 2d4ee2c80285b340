"""What makes a clip that passed every check worth hearing all the same. Takes records, reads no files."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rojak.data.checks import MIN_SNR_SECONDS, count_syllables
from rojak.records import LANGUAGES, Utterance
from rojak.text.normalize import normalize

ASKED_FOR = "asked_for"
SUSPICIONS = {
    ASKED_FOR: "named with --clip",
    "odd_rate": "spoken much faster or slower than the corpus: words may be missing or too many",
    "noisy": "the estimated speech-to-noise ratio is low",
    "other_language": "most words are in another language than the record says",
    "unknown_words": "most words belong to no language: a name list, or a faulty transcript",
    "repeated": "the same speaker says the same sentence several times",
    "narrow_band": "recorded below 16 kHz",
    "many_tokens": "the transcript almost fills Whisper's decoder",
}
"""Every reason that a suspicious clip may have, with what it means."""

NOISY_DB = 10.0
ODD_RATE = 3.5
"""Robust standard deviations of the logarithm of the rate (Iglewicz and Hoaglin, 1993)."""
MIN_CLIPS_FOR_RATE = 20
MIN_SPREAD = 0.15
MANY_TOKENS = 360
FEW_WORDS = 4
REPEATED = 3
RATE_HZ = 16_000


@dataclass(frozen=True)
class Suspicion:
    """A key of `SUSPICIONS`, a sentence for people, and how bad it is from 0 to 1."""

    reason: str
    detail: str
    weight: float


class Suspicions:
    """Judges records against a whole corpus.

    Args:
        records: Of the whole corpus; gone through once.
    """

    def __init__(self, records: Sequence[Utterance]) -> None:
        self._rates = [speaking_rate(record) for record in records]
        logs = np.log(np.maximum(self._rates, 0.05)) if records else np.zeros(1)
        self._middle = float(np.median(logs))
        self._spread = max(MIN_SPREAD, 1.4826 * float(np.median(np.abs(logs - self._middle))))
        self._said = Counter(_sentence(record) for record in records)

    def of(self, record: Utterance, num_tokens: int | None) -> list[Suspicion]:
        """Say what is odd about a record, worst first; mostly nothing."""
        found = [
            self._rate(record),
            _noise(record),
            _language(record),
            self._repetition(record),
            _band(record),
            _tokens(num_tokens),
        ]
        return sorted((one for one in found if one), key=lambda one: -one.weight)

    def _rate(self, record: Utterance) -> Suspicion | None:
        if len(self._rates) < MIN_CLIPS_FOR_RATE:
            return None
        rate = speaking_rate(record)
        deviation = (float(np.log(max(rate, 0.05))) - self._middle) / self._spread
        if abs(deviation) < ODD_RATE:
            return None
        detail = f"{rate:.1f} syllables a second, where half of the corpus is below {np.exp(self._middle):.1f}."
        return Suspicion("odd_rate", detail, min(1.0, abs(deviation) / (2 * ODD_RATE)))

    def _repetition(self, record: Utterance) -> Suspicion | None:
        times = self._said[_sentence(record)] if record.speaker_id else 1
        if times < REPEATED:
            return None
        return Suspicion("repeated", f"{record.speaker_id} says this {times} times.", 0.2)


def speaking_rate(record: Utterance) -> float:
    """Give syllables a second."""
    return count_syllables(record.text) / record.duration


def _sentence(record: Utterance) -> tuple[str | None, str]:
    return record.speaker_id, normalize(record.text)


def _noise(record: Utterance) -> Suspicion | None:
    snr_db = record.snr_db
    if snr_db is None or snr_db >= NOISY_DB or record.added_snr_db is not None or record.duration < MIN_SNR_SECONDS:
        return None
    return Suspicion("noisy", f"Speech is {snr_db:.0f} dB over the noise.", min(1.0, 0.3 + (NOISY_DB - snr_db) / 20))


def _language(record: Utterance) -> Suspicion | None:
    counts: Counter[str] = Counter(word.language for word in record.words or ())
    num_words = sum(counts.values()) - counts["particle"]
    if num_words < FEW_WORDS:
        return None
    if counts["other"] > num_words / 2:
        return Suspicion("unknown_words", f"{counts['other']} of {num_words} words belong to no language.", 0.4)
    spoken = sum(counts[language] for language in LANGUAGES)
    language = record.language
    if language is None or language == "mixed" or not spoken or counts[language] >= 0.4 * spoken:
        return None
    most = max(LANGUAGES, key=lambda name: counts[name])
    detail = f"The record says {language}, but {counts[most]} of {spoken} words are {most}."
    return Suspicion("other_language", detail, 0.7)


def _band(record: Utterance) -> Suspicion | None:
    extra: Mapping[str, object] = record.model_extra or {}
    rate = extra.get("original_sample_rate")
    if not isinstance(rate, int) or rate >= RATE_HZ:
        return None
    return Suspicion("narrow_band", f"Recorded at {rate} Hz.", 0.1)


def _tokens(num_tokens: int | None) -> Suspicion | None:
    if num_tokens is None or num_tokens <= MANY_TOKENS:
        return None
    return Suspicion("many_tokens", f"{num_tokens} label tokens of at most 448.", 0.5)
