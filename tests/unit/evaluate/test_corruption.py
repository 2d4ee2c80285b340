"""Corrupt known text in known ways: every count must be the planted one, and WER and CER must be jiwer's."""

import random
from dataclasses import dataclass, field

import jiwer
import pytest

from rojak.evaluate.prediction import Prediction
from rojak.evaluate.score import ScoreOptions, Scores, score_predictions
from rojak.records import HeardWord, Word
from rojak.text.normalize import normalize
from rojak.text.units import graphemes, words

PAIRS = 800

VOCABULARY = {
    "ms": ["saya", "makan", "nasi", "kedai", "pergi", "kura-kura", "boleh", "cepat", "rumah", "sekolah"],
    "en": ["the", "meeting", "office", "don't", "already", "tomorrow", "happy", "because", "table", "water"],
    "zh": ["我", "们", "去", "买", "水", "果", "好", "吃", "天", "气"],
    "ta": ["நான்", "வீடு", "போகிறேன்", "சாப்பாடு", "நல்லா", "இருக்கு", "வாங்க", "தண்ணீர்", "எங்க", "பூ"],
    "particle": ["lah", "meh", "lor", "hor"],
}
# Words that stand nowhere in a reference, so that nothing planted can match by chance.
STRANGERS = {
    "ms": ["bunga", "kereta", "hujan", "sungai"],
    "en": ["window", "market", "friend", "yesterday"],
    "zh": ["狗", "猫", "鱼", "鸟"],
    "ta": ["மழை", "கடை", "பாட்டு", "நேரம்"],
    "particle": ["sia", "liao"],
}


@dataclass
class Planted:
    """What was done to the text."""

    rows: list[Prediction] = field(default_factory=list)
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    words: int = 0
    wrong: int = 0
    right_language: int = 0
    language_words: int = 0
    particles: int = 0
    particles_right: int = 0
    particles_heard: int = 0
    embedded: int = 0
    embedded_wrong: int = 0
    empties: int = 0
    runaways: int = 0


def corrupt(rng: random.Random, planted: Planted, index: int) -> None:
    """Make one reference of 4–14 different words and corrupt at most every third: one alignment is the cheapest."""
    drawn = rng.sample([(word, tag) for tag, known in VOCABULARY.items() for word in known], k=rng.randint(4, 14))
    reference, tags = [word for word, _ in drawn], [tag for _, tag in drawn]
    heard: list[tuple[str, str]] = []
    spoken = [tag for tag in tags if tag != "particle"]
    matrix = max(dict.fromkeys(spoken), key=spoken.count) if spoken else None
    errors = 0
    offset = rng.randrange(3)
    empty, runaway = index % 50 == 7, index % 40 == 3
    for place, (word, tag) in enumerate(zip(reference, tags, strict=True)):
        kind = rng.choice(["keep", "substitute", "delete", "insert"]) if place % 3 == offset else "keep"
        if empty:
            kind = "delete"
        elif runaway and place >= len(reference) - 2:
            kind = "keep"  # A word lost just before the invented ones could as well be substituted.
        is_spoken, is_embedded = tag != "particle", tag not in ("particle", matrix)
        planted.words += 1
        planted.language_words += is_spoken
        planted.particles += not is_spoken
        planted.embedded += is_embedded
        if kind == "delete":
            planted.deletions += 1
        elif kind == "substitute":
            new_tag = rng.choice([tag, *STRANGERS])
            heard.append((rng.choice(STRANGERS[new_tag]), new_tag))
            planted.substitutions += 1
            planted.right_language += is_spoken and new_tag == tag
        else:
            heard.append((word, tag))
            planted.right_language += is_spoken
            planted.particles_right += not is_spoken
        if kind == "insert":
            new_tag = rng.choice(list(STRANGERS))
            heard.append((rng.choice(STRANGERS[new_tag]), new_tag))
            planted.insertions += 1
        planted.embedded_wrong += is_embedded and kind in ("delete", "substitute")
        errors += kind != "keep"
    if runaway:  # A hallucination at the end.
        tail = [(f"zz{number}", "other") for number in range(len(reference) + 1)]
        heard += tail
        errors += len(tail)
        planted.insertions += len(tail)
    planted.wrong += errors > 0
    planted.empties += not heard
    planted.runaways += errors > len(reference)
    planted.particles_heard += sum(tag == "particle" for _, tag in heard)
    planted.rows.append(
        Prediction(
            audio_id=f"u{index}",
            reference=decorate(rng, reference),
            hypothesis=decorate(rng, [word for word, _ in heard]),
            words=tuple(Word(word=word, language=tag) for word, tag in zip(reference, tags, strict=True)),
            hypothesis_words=tuple(HeardWord(word=word, language=tag) for word, tag in heard),
            speaker_id=f"s{index % 20}",
        )
    )


def decorate(rng: random.Random, text: list[str]) -> str:
    """Write words as people do, in ways that the normaliser must undo."""
    written = []
    for word in text:
        in_brackets = rng.choice(["[{}]", "({})", "#{}#", "!{}!", "{},", "{}..."]).format(word)
        unusual = word.replace("'", "’").replace("-", "\u2011").replace("a", "ａ")
        written.append(rng.choice([word, word, word, word.capitalize(), in_brackets, unusual]))
    return rng.choice([" ", "  "]).join(written)


@pytest.fixture(scope="module")
def planted() -> Planted:
    rng, found = random.Random(20), Planted()
    for index in range(PAIRS):
        corrupt(rng, found, index)
    return found


@pytest.fixture(scope="module")
def scores(planted: Planted) -> Scores:
    return score_predictions(planted.rows, ScoreOptions(resamples=0))


def test_every_count_is_the_planted_one(planted: Planted, scores: Scores) -> None:
    counts = scores.overall.counts
    assert counts["utterances"] == PAIRS
    for name in (
        "words",
        "substitutions",
        "deletions",
        "insertions",
        "particles",
        "particles_heard",
        "particles_right",
    ):
        assert counts[name] == getattr(planted, name), name
    assert counts["wrong_utterances"] == planted.wrong
    assert counts["empties"] == planted.empties > 0
    assert counts["runaways"] == planted.runaways > 0
    assert counts["embedded_words"] == planted.embedded
    assert counts["embedded_errors"] == planted.embedded_wrong
    assert sum(counts[f"{lang}_words"] for lang in ("ms", "en", "zh", "ta")) == planted.language_words
    assert sum(counts[f"{lang}_right"] for lang in ("ms", "en", "zh", "ta")) == planted.right_language


def test_wer_is_jiwers_to_the_last_digit(planted: Planted, scores: Scores) -> None:
    references = [" ".join(words(normalize(row.reference))) for row in planted.rows]
    hypotheses = [" ".join(words(normalize(row.hypothesis))) for row in planted.rows]
    theirs = jiwer.process_words(references, hypotheses)
    metrics = scores.overall.metrics
    assert metrics["wer"].value == theirs.wer
    spaced = jiwer.wer(
        [normalize(row.reference) for row in planted.rows], [normalize(r.hypothesis) for r in planted.rows]
    )
    assert metrics["wer_spaced"].value == spaced


def test_cer_is_jiwers_to_the_last_digit(planted: Planted, scores: Scores) -> None:
    # jiwer counts code points; one private code point stands here for each grapheme.
    codes: dict[str, str] = {}

    def as_code_points(text: str) -> str:
        return "".join(codes.setdefault(unit, chr(0xE000 + len(codes))) for unit in graphemes(normalize(text)))

    theirs = jiwer.cer(
        [as_code_points(row.reference) for row in planted.rows],
        [as_code_points(row.hypothesis) for row in planted.rows],
    )
    assert scores.overall.metrics["cer"].value == theirs
