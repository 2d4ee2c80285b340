from pathlib import Path
from typing import Any

import pytest

from rojak.errors import InputError
from rojak.evaluate.prediction import Prediction
from rojak.evaluate.score import ScoreOptions, cluster_utterances, score, score_predictions

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
    assert any("References without words" in note for note in scores.notes)


def test_ids_must_differ_and_rows_must_be() -> None:
    with pytest.raises(InputError, match="audio_id a twice"):
        score_predictions([row("a", "x", "x"), row("a", "x", "x")], QUICK)
    with pytest.raises(InputError, match="no predictions"):
        score_predictions([], QUICK)


def noisy_rows() -> list[Prediction]:
    """40 utterances of 8 speakers; a fifth of the words is wrong in those with noise, a tenth in the others."""
    rows = []
    for i in range(40):
        words = [f"kata{i}x{j}" for j in range(10)]
        heard = ["salah", "salah", *words[2:]] if i % 2 else ["salah", *words[1:]]
        fields = {"speaker_id": f"s{i % 8}", "added_snr_db": 12.0 if i % 2 else None, "duration": 4.0, "decode_s": 1.0}
        rows.append(row(f"u{i}", " ".join(words), " ".join(heard), **fields))
    return rows


def test_slices_hold_their_own_utterances() -> None:
    scores = score_predictions(noisy_rows(), QUICK)
    parts = scores.slices["added_snr"]
    assert {part: (cell.utterances, cell.metrics["wer"].value) for part, cell in parts.items()} == {
        "clean": (20, 0.1),
        "10–15 dB": (20, 0.2),
    }
    assert scores.labels["added_snr"]["clean"] == list(range(0, 40, 2))
    assert not parts["clean"].few
    assert scores.slices["speaker_id"]["s3"].few
    assert "accent" not in scores.slices
    assert scores.overall.speakers == 8
    assert scores.overall.audio_s == 160
    assert scores.overall.metrics["rtf"].value == 0.25


def test_intervals_come_from_speakers_and_hold_the_value() -> None:
    scores = score_predictions(noisy_rows(), ScoreOptions(resamples=2000))
    assert scores.overall.resampled == "speakers"
    wer = scores.overall.metrics["wer"]
    assert wer.low is not None
    assert wer.high is not None
    # Speakers are all at 10 % or all at 20 %: their mean over 8 draws has a standard deviation of 1.8 %.
    assert wer.low == pytest.approx(0.15 - 1.96 * 0.0177, abs=0.008)
    assert wer.high == pytest.approx(0.15 + 1.96 * 0.0177, abs=0.008)
    assert any("only 8 speakers" in note for note in scores.notes)
    again = score_predictions(noisy_rows(), ScoreOptions(resamples=2000))
    assert again.overall == scores.overall


def test_without_speakers_utterances_are_resampled_and_it_is_said() -> None:
    rows = [prediction.model_copy(update={"speaker_id": None}) for prediction in noisy_rows()]
    scores = score_predictions(rows, QUICK)
    assert scores.overall.resampled == "utterances"
    assert any("Fewer than two speakers" in note for note in scores.notes)
    alone = score_predictions(rows[:1], QUICK)
    assert alone.overall.resampled is None
    assert alone.overall.metrics["wer"].low is None
    assert any("too few" in note for note in alone.notes)


def test_an_utterance_without_a_speaker_stands_for_itself() -> None:
    rows = [row(f"{i}", "satu", "satu", speaker_id="x" if i < 2 else "y" if i < 4 else None) for i in range(6)]
    clusters, resampled = cluster_utterances(score_predictions(rows, QUICK).utterances)
    assert (clusters, resampled) == ([0, 0, 1, 1, 2, 3], "speakers")


def test_what_is_not_there_is_not_measured() -> None:
    metrics = score_predictions([row("a", "saya makan", "saya makan")], QUICK).overall.metrics
    for name in ("rtf", "particle_recall", "pier", "nonspeech_words"):
        assert metrics[name].value is None, name
        assert metrics[name].n == 0
    assert metrics["wer"].value == 0


def test_any_field_slices() -> None:
    rows = [row("a", "satu", "satu", gender="f"), row("b", "dua", "x", gender="m")]
    scores = score_predictions(rows, ScoreOptions(slices=("gender",), resamples=0))
    assert scores.slices["gender"]["m"].metrics["wer"].value == 1
    assert scores.slices["gender"]["m"].metrics["wer"].low is None


def test_a_file_is_scored_and_named(tmp_path: Path) -> None:
    path = tmp_path / "mine" / "predictions.jsonl"
    path.parent.mkdir()
    path.write_text('{"audio_id": "a", "reference": "satu dua", "hypothesis": "satu"}\n', encoding="utf-8")
    scores = score(path, options=QUICK)
    assert scores.system == "mine"
    assert scores.overall.metrics["wer"].value == 0.5
