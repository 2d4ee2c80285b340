from typing import Any

import pytest

from rojak.errors import InputError
from rojak.evaluate.prediction import Prediction
from rojak.evaluate.score import ScoreOptions, score_predictions

QUICK = ScoreOptions(resamples=200)


def row(audio_id: str, reference: str, hypothesis: str, **fields: Any) -> Prediction:
    return Prediction(audio_id=audio_id, reference=reference, hypothesis=hypothesis, **fields)


def test_sums_are_divided_and_utterances_not_averaged() -> None:
    scores = score_predictions([row("a", "satu dua tiga", "satu dua tiga"), row("b", "lima", "enam")], QUICK)
    wer = scores.overall.metrics["wer"]
    assert wer.value == 1 / 4
    assert wer.n == 4
    assert scores.normalizer == "rojak-1"


def test_a_perfect_hypothesis_is_perfect_in_every_measure() -> None:
    text = "Saya nak pergi kedai lah, you know, 我要买水果 boleh kan? நான் போறேன்"
    metrics = score_predictions([row("a", text, text), row("b", text, text)], QUICK).overall.metrics
    for name in ("wer", "mer", "wer_spaced", "cer", "ser", "pier", "runaway_rate", "empty_rate"):
        assert metrics[name].value == 0, name
    for name in ("language_accuracy", "language_macro_f1", "switch_f1", "particle_recall", "particle_f1"):
        assert metrics[name].value == 1, name


def test_a_clip_without_speech_counts_apart() -> None:
    scores = score_predictions([row("a", "satu dua", "satu dua"), row("b", "...", "thank you")], QUICK)
    assert scores.overall.metrics["wer"].value == 0
    assert scores.overall.metrics["nonspeech_words"].value == 2
    assert scores.utterances[1].flags == ("nonspeech",)
    assert any("1 references hold no words" in note for note in scores.notes)


def test_ids_must_differ_and_rows_must_be() -> None:
    with pytest.raises(InputError, match="audio_id a twice"):
        score_predictions([row("a", "x", "x"), row("a", "x", "x")], QUICK)
    with pytest.raises(InputError, match="no predictions"):
        score_predictions([], QUICK)
