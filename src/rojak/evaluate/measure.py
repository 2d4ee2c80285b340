"""One utterance, measured: normalise, cut into words, tag, align once, count.

Takes a `Prediction`, gives an `UtteranceScore`; everything a report shows of an utterance is in there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rojak.errors import InputError
from rojak.evaluate.align import align, columns, edit_distance
from rojak.evaluate.counts import (
    count_edits,
    count_embedded,
    count_languages,
    count_particles,
    count_switches,
    matrix_language,
    repeats,
)
from rojak.evaluate.metrics import COUNTS
from rojak.evaluate.prediction import Prediction
from rojak.records import LANGUAGES, Word, WordLanguage
from rojak.text.language import TaggedWord, code_mixing_index, tag_words
from rojak.text.normalize import PLAIN, TextOptions, normalize
from rojak.text.particles import canonical_particle
from rojak.text.units import graphemes, words

LanguagesFrom = Literal["given", "tagged", "differ"]

_COUNT_OF_FLAG = {"runaway": "runaways", "repeat": "repeats", "empty": "empties"}


@dataclass(frozen=True, slots=True)
class UtteranceScore:
    """An utterance with its alignment and counts.

    Attributes:
        prediction: The row that was scored.
        reference_words: Normalised words of the reference; Han characters stand alone.
        reference_languages: ms, en, zh, ta, particle or other, one a word.
        hypothesis_words: As for the reference.
        hypothesis_languages: As for the reference.
        ops: The alignment, one of `=SDI` a column.
        flags: Which of `runaway`, `repeat`, `empty`, `nonspeech` hold.
        cmi: Code-mixing index of the reference, 0–100.
        counts: Name of each count in `metrics.COUNTS` to its value here; those that are 0 are left out.
        languages_from: Where the reference's languages are from: "given" with the row, "tagged" by the tagger, or
            "differ": given, but the row's words are not quite the reference's and the tagger filled in.
    """

    prediction: Prediction
    reference_words: list[str]
    reference_languages: list[WordLanguage]
    hypothesis_words: list[str]
    hypothesis_languages: list[WordLanguage]
    ops: str
    flags: tuple[str, ...]
    cmi: float
    counts: dict[str, float]
    languages_from: LanguagesFrom

    @property
    def errors(self) -> int:
        """Word errors: substitutions, deletions and insertions."""
        return len(self.ops) - self.ops.count("=")

    @property
    def wer(self) -> float | None:
        """Word error rate of this utterance; None for a clip without speech."""
        return self.errors / len(self.reference_words) if self.reference_words else None

    def to_json(self) -> dict[str, Any]:
        """Give what `predictions.jsonl` keeps under `score`."""
        return {
            "wer": self.wer,
            "words": len(self.reference_words),
            "substitutions": self.ops.count("S"),
            "deletions": self.ops.count("D"),
            "insertions": self.ops.count("I"),
            "grapheme_errors": int(self.counts.get("grapheme_errors", 0)),
            "graphemes": int(self.counts.get("graphemes", 0)),
            "flags": list(self.flags),
            "cmi": round(self.cmi, 2),
            "ops": self.ops,
            "reference_words": self.reference_words,
            "reference_languages": self.reference_languages,
            "hypothesis_words": self.hypothesis_words,
            "hypothesis_languages": self.hypothesis_languages,
        }


def measure(prediction: Prediction, text: TextOptions = PLAIN) -> UtteranceScore:
    """Score one utterance.

    The hypothesis' languages come from `hypothesis_words` if the row has them. Otherwise a hypothesis word that matches
    takes the tag of its reference word, since the same word in the same place is in the same language, and the tagger
    reads the others in their context.

    Raises:
        InputError: The two texts are too long to align.
    """
    language = _language(prediction) if text.numbers else None
    reference = normalize(prediction.reference, text, language)
    hypothesis = normalize(prediction.hypothesis, text, language)
    said, heard = words(reference), words(hypothesis)
    try:
        ops = align(said, heard)
    except InputError as error:
        raise InputError(f"Utterance {prediction.audio_id}: {error}") from None
    said_languages, said_from = _languages(prediction.reference, said, prediction.words, text)
    own_tags = prediction.hypothesis_words if prediction.hypothesis_languages_from == "model" else None
    heard_languages, heard_from = _languages(prediction.hypothesis, heard, own_tags, text)
    if heard_from == "tagged":
        _inherit(ops, said_languages, heard_languages)

    counts: dict[str, float] = {}
    flags: list[str] = []
    cmi = 0.0
    if said:
        cmi = code_mixing_index([TaggedWord(w, lang, 1.0) for w, lang in zip(said, said_languages, strict=True)])
        flags = _trouble(ops, said, heard)
        counts = {
            "utterances": 1,
            "wrong_utterances": ops.count("=") < len(ops),
            **{_COUNT_OF_FLAG[flag]: 1 for flag in flags},
            **count_edits(ops),
            **_count_text(reference, hypothesis),
            **count_languages(ops, said_languages, heard_languages),
            **count_switches(ops, said_languages, heard_languages),
            **count_embedded(ops, said_languages),
            "cmi_sum": cmi,
            **count_particles(ops, particle_forms(said, said_languages), particle_forms(heard, heard_languages)),
        }
    else:
        flags = ["nonspeech"]
        counts = {"nonspeech_clips": 1, "nonspeech_clips_heard": bool(heard), "nonspeech_words": len(heard)}
    if prediction.duration and prediction.decode_s is not None:
        counts |= {"timed_audio_s": prediction.duration, "timed_decode_s": prediction.decode_s}
    counts = {name: counts[name] for name in COUNTS if counts.get(name)}
    return UtteranceScore(
        prediction, said, said_languages, heard, heard_languages, ops, tuple(flags), cmi, counts, said_from
    )


def _language(prediction: Prediction) -> str | None:
    """Give the language that numbers are spelt in: the row's, else the one of most words of the reference."""
    if prediction.language in LANGUAGES:
        return prediction.language
    return matrix_language([word.language for word in tag_words(prediction.reference)])


def particle_forms(words_: Sequence[str], languages: Sequence[str]) -> list[str | None]:
    """Give each word that is tagged a particle its canonical form (`laa` → `lah`), and None to all others."""
    return [
        (canonical_particle(word) or word) if language == "particle" else None
        for word, language in zip(words_, languages, strict=True)
    ]


def _languages(
    raw: str, units: list[str], given: Sequence[Word] | None, text: TextOptions
) -> tuple[list[WordLanguage], LanguagesFrom]:
    """Give each unit of a text its language: from the words that came with it, else from the tagger."""
    if given is None:
        return tag_units(raw, units), "tagged"
    given_units: list[str] = []
    given_languages: list[WordLanguage] = []
    for word in given:
        parts = words(normalize(word.word, text))
        given_units += parts
        given_languages += [word.language] * len(parts)
    if given_units == units:
        return given_languages, "given"
    languages = tag_units(raw, units)
    for op, i, j in columns(align(units, given_units)):
        if op == "=" and i is not None and j is not None:
            languages[i] = given_languages[j]
    return languages, "differ"


def tag_units(raw: str, units: list[str]) -> list[WordLanguage]:
    """Give each unit of a text the tagger's language; see `tag_raw`."""
    return [word.language for word in tag_raw(raw, units)]


def tag_raw(raw: str, units: list[str]) -> list[TaggedWord]:
    """Tag a text as it was written, for capitals and punctuation help.

    Where the normaliser's optional passes have changed the number of words, its output is tagged instead.
    """
    tagged = tag_words(raw)
    if len(tagged) != len(units):
        tagged = tag_words(" ".join(units))
    assert len(tagged) == len(units), "the tagger must tag the units of the normaliser"
    return tagged


def _inherit(ops: str, reference: Sequence[WordLanguage], hypothesis: list[WordLanguage]) -> None:
    for op, i, j in columns(ops):
        if op == "=" and i is not None and j is not None:
            hypothesis[j] = reference[i]


def _count_text(reference: str, hypothesis: str) -> dict[str, int]:
    """Count graphemes and the words between spaces, and their errors; spaces may be wrong where every word is right."""
    letters = graphemes(reference)
    spaced = reference.split()
    found = {"graphemes": len(letters), "spaced_words": len(spaced)}
    if reference == hypothesis:
        return found
    found["grapheme_errors"] = edit_distance(letters, graphemes(hypothesis))
    found["spaced_errors"] = edit_distance(spaced, hypothesis.split())
    return found


def _trouble(ops: str, reference: Sequence[str], hypothesis: Sequence[str]) -> list[str]:
    """Find the flags: more errors than words, a loop, nothing at all."""
    flags = ["runaway"] if len(ops) - ops.count("=") > len(reference) else []
    if not hypothesis:
        flags.append("empty")
    elif repeats(reference, hypothesis):
        flags.append("repeat")
    return flags
