"""The measures: pure functions from counts to numbers, and the table `METRICS` that names them.

Every function takes the counts of a set of utterances (`COUNTS`, summed; a number each, or an array with one entry per
resample of the bootstrap) and gives a corpus value: sums are divided, utterance values are never averaged. Where
nothing was counted the value is NaN, "not measured". `docs/metrics.md` works one example through all of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rojak.records import LANGUAGES

Counts = Mapping[str, Any]
"""Name of a count → its sum, a float or an array of floats."""

COUNTS = (
    *("utterances", "wrong_utterances", "runaways", "repeats", "empties"),
    *("words", "substitutions", "deletions", "insertions"),
    *("graphemes", "grapheme_errors", "spaced_words", "spaced_errors"),
    *(f"{language}_{what}" for language in LANGUAGES for what in ("words", "right", "heard")),
    *("switches", "switches_heard", "switches_right", "embedded_words", "embedded_errors", "cmi_sum"),
    *("particles", "particles_heard", "particles_right", "particles_near"),
    *("nonspeech_clips", "nonspeech_clips_heard", "nonspeech_words"),
    *("timed_audio_s", "timed_decode_s"),
)
"""What is counted in every utterance, in the order of the columns of a count table."""


def ratio(part: Any, whole: Any) -> Any:
    """Divide, giving NaN where the whole is 0."""
    part, whole = np.asarray(part, dtype=float), np.asarray(whole, dtype=float)
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole != 0)


def f1(right: Any, reference: Any, heard: Any) -> Any:
    """F1 = 2·right / (reference + heard), the harmonic mean of recall and precision (van Rijsbergen 1979).

    NaN where the reference has none: recall is then undefined, and 0 would blame the system for it.
    """
    return np.where(np.asarray(reference) > 0, ratio(2 * right, reference + heard), np.nan)


def word_error_rate(c: Counts) -> Any:
    """WER = (S + D + I) / N, N the reference words; uncapped. Each Han character is a word.

    Source: NIST sclite; with Han characters as words it is the mixed error rate (MER) of the SEAME corpus.
    """
    return ratio(c["substitutions"] + c["deletions"] + c["insertions"], c["words"])


def spaced_word_error_rate(c: Counts) -> Any:
    """WER over the text between spaces, where a run of Han characters is one word; to compare with other scorers."""
    return ratio(c["spaced_errors"], c["spaced_words"])


def sentence_error_rate(c: Counts) -> Any:
    """SER = utterances with at least one word error / utterances. Source: NIST sclite."""
    return ratio(c["wrong_utterances"], c["utterances"])


def character_error_rate(c: Counts) -> Any:
    """CER = edits between graphemes / reference graphemes, without spaces; a Tamil vowel sign is part of its letter."""
    return ratio(c["grapheme_errors"], c["graphemes"])


def substitution_rate(c: Counts) -> Any:
    """S / N."""
    return ratio(c["substitutions"], c["words"])


def deletion_rate(c: Counts) -> Any:
    """D / N."""
    return ratio(c["deletions"], c["words"])


def insertion_rate(c: Counts) -> Any:
    """I / N; high where a model invents text."""
    return ratio(c["insertions"], c["words"])


def language_accuracy(c: Counts) -> Any:
    """Reference words in ms, en, zh or ta aligned to a word of the same language / all such words.

    Deleted words are wrong. Particles, names and digits are left out.
    """
    right = sum(c[f"{language}_right"] for language in LANGUAGES)
    return ratio(right, sum(c[f"{language}_words"] for language in LANGUAGES))


def language_macro_f1(c: Counts) -> Any:
    """Mean over the languages in the reference of F1 = 2·right / (reference words + words heard in that language).

    Inserted words count as heard; words heard in the place of a particle, name or digit do not.
    """
    scores = np.stack([f1(c[f"{lang}_right"], c[f"{lang}_words"], c[f"{lang}_heard"]) for lang in LANGUAGES])
    present = np.stack([np.broadcast_to(np.asarray(c[f"{lang}_words"]) > 0, scores[0].shape) for lang in LANGUAGES])
    return ratio(np.where(present, np.nan_to_num(scores), 0.0).sum(axis=0), present.sum(axis=0))


def switch_recall(c: Counts) -> Any:
    """Reference switch points with both flanking words aligned and the same ordered language pair / all of them."""
    return ratio(c["switches_right"], c["switches"])


def switch_precision(c: Counts) -> Any:
    """Switch points that are right / switch points in the hypothesis."""
    return ratio(c["switches_right"], c["switches_heard"])


def switch_f1(c: Counts) -> Any:
    """F1 of switch points between neighbouring words of different languages, particles and names skipped."""
    return f1(c["switches_right"], c["switches"], c["switches_heard"])


def point_of_interest_error_rate(c: Counts) -> Any:
    """PIER = embedded-language reference words substituted or deleted / embedded-language reference words.

    Embedded are the words of every language but the utterance's most frequent. Insertions belong to no reference word
    and are not counted. Source: Ugan et al., "PIER", ICASSP 2025, arXiv:2501.09512.
    """
    return ratio(c["embedded_errors"], c["embedded_words"])


def code_mixing_index(c: Counts) -> Any:
    """Mean of the utterances' CMI (`rojak.text.language.code_mixing_index`), 0–100; describes the reference."""
    return ratio(c["cmi_sum"], c["utterances"])


def particle_recall(c: Counts) -> Any:
    """Reference particles aligned to the same particle / reference particles (micro)."""
    return ratio(c["particles_right"], c["particles"])


def particle_precision(c: Counts) -> Any:
    """Particles in the hypothesis aligned to the same reference particle / particles in the hypothesis (micro)."""
    return ratio(c["particles_right"], c["particles_heard"])


def particle_f1(c: Counts) -> Any:
    """F1 of particles (micro)."""
    return f1(c["particles_right"], c["particles"], c["particles_heard"])


def particle_recall_near(c: Counts) -> Any:
    """Recall of particles when the same particle one column of the alignment to either side is right, too."""
    return ratio(c["particles_near"], c["particles"])


def runaway_rate(c: Counts) -> Any:
    """Utterances with more errors than reference words (WER over 100 %) / utterances."""
    return ratio(c["runaways"], c["utterances"])


def repeat_rate(c: Counts) -> Any:
    """Utterances whose hypothesis repeats words over and over (`rojak.evaluate.counts.repeats`) / utterances."""
    return ratio(c["repeats"], c["utterances"])


def empty_rate(c: Counts) -> Any:
    """Utterances with speech for which nothing was heard / utterances."""
    return ratio(c["empties"], c["utterances"])


def nonspeech_words_per_clip(c: Counts) -> Any:
    """Words heard on clips without speech (empty reference) / such clips."""
    return ratio(c["nonspeech_words"], c["nonspeech_clips"])


def nonspeech_heard_rate(c: Counts) -> Any:
    """Clips without speech on which words were heard / such clips."""
    return ratio(c["nonspeech_clips_heard"], c["nonspeech_clips"])


def real_time_factor(c: Counts) -> Any:
    """RTF = seconds spent decoding / seconds of audio, over the utterances that have both."""
    return ratio(c["timed_decode_s"], c["timed_audio_s"])


@dataclass(frozen=True, slots=True)
class Metric:
    """A measure: its title in tables, its function, what it counts over, which way is better, how it is printed."""

    title: str
    compute: Callable[[Counts], Any]
    base: tuple[str, ...]
    """Counts whose sum is the number of things measured (for an F1, things to find); 0 of them is "not measured"."""
    better: Literal["lower", "higher", "neither"] = "lower"
    unit: Literal["%", ""] = "%"


_LANGUAGE_WORDS = tuple(f"{language}_words" for language in LANGUAGES)

METRICS: dict[str, Metric] = {
    "wer": Metric("WER", word_error_rate, ("words",)),
    "mer": Metric("MER", word_error_rate, ("words",)),
    "wer_spaced": Metric("WER between spaces", spaced_word_error_rate, ("spaced_words",)),
    "cer": Metric("CER", character_error_rate, ("graphemes",)),
    "ser": Metric("SER", sentence_error_rate, ("utterances",)),
    "substitution_rate": Metric("Substitutions", substitution_rate, ("words",)),
    "deletion_rate": Metric("Deletions", deletion_rate, ("words",)),
    "insertion_rate": Metric("Insertions", insertion_rate, ("words",)),
    "language_accuracy": Metric("Language per word", language_accuracy, _LANGUAGE_WORDS, "higher"),
    "language_macro_f1": Metric("Language macro-F1", language_macro_f1, _LANGUAGE_WORDS, "higher"),
    "switch_f1": Metric("Switch F1", switch_f1, ("switches",), "higher"),
    "switch_recall": Metric("Switch recall", switch_recall, ("switches",), "higher"),
    "switch_precision": Metric("Switch precision", switch_precision, ("switches_heard",), "higher"),
    "pier": Metric("PIER", point_of_interest_error_rate, ("embedded_words",)),
    "cmi": Metric("CMI", code_mixing_index, ("utterances",), "neither", ""),
    "particle_recall": Metric("Particle recall", particle_recall, ("particles",), "higher"),
    "particle_precision": Metric("Particle precision", particle_precision, ("particles_heard",), "higher"),
    "particle_f1": Metric("Particle F1", particle_f1, ("particles",), "higher"),
    "particle_recall_near": Metric("Particle recall ±1", particle_recall_near, ("particles",), "higher"),
    "runaway_rate": Metric("Runaways", runaway_rate, ("utterances",)),
    "repeat_rate": Metric("Repeats", repeat_rate, ("utterances",)),
    "empty_rate": Metric("Empty", empty_rate, ("utterances",)),
    "nonspeech_heard_rate": Metric("Clips without speech with words", nonspeech_heard_rate, ("nonspeech_clips",)),
    "nonspeech_words": Metric(
        "Words per clip without speech", nonspeech_words_per_clip, ("nonspeech_clips",), "lower", ""
    ),
    "rtf": Metric("RTF", real_time_factor, ("timed_audio_s",), "lower", ""),
}
"""Every measure by its name in `metrics.json`, in the order of tables."""
