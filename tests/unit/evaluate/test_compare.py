import json

import pytest

from rojak.errors import InputError
from rojak.evaluate.compare import compare
from rojak.evaluate.prediction import Prediction
from rojak.evaluate.results import Scores
from rojak.evaluate.score import ScoreOptions, score_predictions
from rojak.text.normalize import TextOptions


def system(name: str, wrong: list[int], options: ScoreOptions | None = None, backwards: bool = False) -> Scores:
    """Utterance i of 12 has ten words, `wrong[i % len]` of which are wrong; three speakers, half with noise."""
    rows = []
    for i in range(12):
        words = [f"kata{i}x{j}" for j in range(10)]
        errors = wrong[i % len(wrong)]
        heard = ["salah"] * errors + words[errors:]
        fields = {"speaker_id": f"s{i % 3}", "added_snr_db": 3.0 if i < 6 else None}
        rows.append(Prediction(audio_id=f"u{i:02}", reference=" ".join(words), hypothesis=" ".join(heard), **fields))
    options = options or ScoreOptions(system=name, resamples=0)
    return score_predictions(reversed(rows) if backwards else rows, options)


def test_differences_by_hand() -> None:
    [found] = compare([system("base", [3]), system("tuned", [1, 2], backwards=True)], resamples=1000)
    wer = found.overall.metrics["wer"]
    assert (found.first, found.second) == ("base", "tuned")
    assert (wer.first, wer.second) == (0.3, 0.15)
    assert wer.difference == pytest.approx(-0.15)
    assert wer.low is not None
    assert wer.high is not None
    assert wer.low <= -0.15 <= wer.high < 0
    assert wer.p_better == 1.0
    assert wer.significant
    assert found.overall.few
    assert found.overall.metrics["cmi"].p_better is None
    assert found.overall.metrics["particle_recall"].difference is None
    assert set(found.slices["added_snr"]) == {"clean", "0–5 dB"}
    assert found.slices["added_snr"]["clean"].utterances == 6
    # Every utterance is one segment; d is 2 and 1 in turn.
    assert found.overall.mapsswe.segments == 12
    assert found.overall.mapsswe.mean_difference == 1.5
    assert found.overall.mapsswe.p is not None
    assert found.overall.mapsswe.p < 1e-6


def test_what_got_better_and_worse_is_sorted_by_how_much() -> None:
    [found] = compare([system("a", [2, 2, 2, 2]), system("b", [0, 1, 2, 5])], resamples=0)
    assert [change.audio_id for change in found.better] == ["u00", "u04", "u08", "u01", "u05", "u09"]
    assert {change.audio_id for change in found.worse} == {"u03", "u07", "u11"}
    assert found.same == 3
    assert (found.better[0].first_errors, found.better[0].second_errors, found.better[0].words) == (2, 0, 10)
    assert found.overall.metrics["wer"].low is None
    assert found.overall.metrics["wer"].p_better is None


def test_a_system_against_itself_is_even() -> None:
    scores = system("a", [1, 4])
    [found] = compare([scores, scores], resamples=200)
    wer = found.overall.metrics["wer"]
    assert (wer.difference, wer.low, wer.high, wer.p_better, wer.significant) == (0, 0, 0, 0.5, False)
    assert found.overall.mapsswe.p is None


def test_higher_is_better_where_it_is() -> None:
    def one(name: str, heard: str) -> Scores:
        rows = [
            Prediction(audio_id=str(i), reference="pergi lah", hypothesis=heard, speaker_id=f"s{i}") for i in range(4)
        ]
        return score_predictions(rows, ScoreOptions(system=name, resamples=0))

    [found] = compare([one("a", "pergi"), one("b", "pergi lah")], resamples=50)
    assert found.overall.metrics["particle_recall"].p_better == 1.0
    assert found.overall.metrics["wer"].p_better == 1.0


def test_three_systems_stand_against_the_first() -> None:
    found = compare([system("a", [3]), system("b", [2]), system("c", [1])], resamples=0)
    assert [(pair.first, pair.second) for pair in found] == [("a", "b"), ("a", "c")]
    assert json.loads(json.dumps(found[1].to_json()))["overall"]["metrics"]["wer"]["second"] == 0.1


def test_what_cannot_be_compared_is_said() -> None:
    first = system("a", [1])
    with pytest.raises(InputError, match="two systems or more"):
        compare([first])
    passes = ScoreOptions(system="b", text=TextOptions(short_forms=True), resamples=0)
    with pytest.raises(InputError, match=r"normalisers of a and b differ \(rojak-1, rojak-1\+short_forms\)"):
        compare([first, system("b", [1], passes)])
    rows = [utterance.prediction for utterance in first.utterances]
    fewer = score_predictions(rows[1:], ScoreOptions(system="b", resamples=0))
    with pytest.raises(InputError, match=r"audio ids of a and b do not match: 1 are in only one \(u00\)"):
        compare([first, fewer])
    changed = [rows[0].model_copy(update={"reference": "lain"}), *rows[1:]]
    other = score_predictions(changed, ScoreOptions(system="b", resamples=0))
    with pytest.raises(InputError, match="references of a and b differ at u00"):
        compare([first, other])
