import json
from pathlib import Path

from rojak.evaluate.metrics import METRICS
from rojak.evaluate.prediction import Prediction
from rojak.evaluate.read import read_predictions
from rojak.evaluate.results import Scores
from rojak.evaluate.score import ScoreOptions, score_predictions
from rojak.evaluate.write import write_metrics, write_predictions


def scores() -> Scores:
    rows = [
        Prediction(audio_id="a", reference="Saya nak go lah", hypothesis="saya nak lah", speaker_id="s1", gender="f"),
        Prediction(audio_id="b", reference="水果 sedap", hypothesis="水 sedap", speaker_id="s2"),
    ]
    return score_predictions(rows, ScoreOptions(system="mine", resamples=50, settings={"beam": 1}))


def test_metrics_file_tells_everything(tmp_path: Path) -> None:
    write_metrics(tmp_path / "metrics.json", [scores()])
    found = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert found["schema"] == "rojak-metrics-1"
    assert found["rojak_version"]
    [system] = found["systems"]
    assert system["system"] == "mine"
    assert system["normalizer"] == "rojak-1"
    assert system["settings"] == {"beam": 1}
    assert list(system["overall"]["metrics"]) == list(METRICS)
    assert system["overall"]["metrics"]["wer"]["value"] == 2 / 7
    assert system["overall"]["counts"]["deletions"] == 2
    assert system["overall"]["metrics"]["rtf"] == {"value": None, "low": None, "high": None, "n": 0}
    assert system["slices"]["speaker_id"]["s1"]["utterances"] == 1
    assert system["particles"]["lah"]["right"] == 1
    assert system["tagger"] is None
    assert [target["name"] for target in system["targets"]][:2] == ["wer", "language"]


def test_half_a_surrogate_pair_survives(tmp_path: Path) -> None:
    row = Prediction(audio_id="a", reference="saya", hypothesis="saya", nickname="Ali \ud83d")
    write_predictions(tmp_path / "p.jsonl", score_predictions([row], ScoreOptions(resamples=0)))
    [again] = read_predictions(tmp_path / "p.jsonl")
    assert again.model_extra is not None
    assert again.model_extra["nickname"] == "Ali \ud83d"


def test_predictions_can_be_scored_again(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    first = scores()
    write_predictions(path, first)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert rows[0]["gender"] == "f"
    assert rows[0]["score"]["ops"] == "==D="
    assert rows[1]["score"]["reference_words"] == ["水", "果", "sedap"]
    again = score_predictions(read_predictions(path), ScoreOptions(system="mine", resamples=50))
    assert again.overall == first.overall
