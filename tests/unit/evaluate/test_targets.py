from dataclasses import replace
from typing import Any

import pytest

from rojak.evaluate.prediction import Prediction
from rojak.evaluate.results import Scores, Value
from rojak.evaluate.score import ScoreOptions, score_predictions
from rojak.evaluate.targets import TARGETS, check_targets, training_hours


def scores_with(metrics: dict[str, Value], **changes: Any) -> Scores:
    rows = [Prediction(audio_id=str(i), reference="saya", hypothesis="saya") for i in range(20)]
    scores = score_predictions(rows, ScoreOptions(resamples=0))
    cell = replace(scores.overall, metrics={**scores.overall.metrics, **metrics})
    return replace(scores, overall=cell, **changes)


@pytest.mark.parametrize(
    ("metric", "value", "verdict", "certain"),
    [
        ("wer", Value(0.149, 0.14, 0.1499, 9), "PASS", True),
        ("wer", Value(0.149, 0.14, 0.16, 9), "PASS", False),
        ("wer", Value(0.15, 0.14, 0.16, 9), "FAIL", False),
        ("wer", Value(0.2, 0.19, 0.21, 9), "FAIL", True),
        ("wer", Value(0.2, None, None, 9), "FAIL", None),
        ("language_accuracy", Value(0.86, 0.851, 0.87, 9), "PASS", True),
        ("language_accuracy", Value(0.85, 0.851, 0.87, 9), "FAIL", True),
        ("particle_recall", Value(None, None, None, 0), "not measured", None),
        ("rtf", Value(0.29, 0.2, 0.3, 9), "PASS", False),
    ],
)
def test_verdicts(metric: str, value: Value, verdict: str, certain: bool | None) -> None:
    results = check_targets(scores_with({metric: value}))
    [found] = [result for result in results if result.target.metric == metric and result.target.part is None]
    assert (found.verdict, found.certain) == (verdict, certain)


def test_the_noisy_target_reads_its_slice() -> None:
    rows = [
        Prediction(audio_id=str(i), reference="saya makan", hypothesis="saya makan" if i else "x", added_snr_db=12.0)
        for i in range(10)
    ]
    results = {
        result.target.name: result for result in check_targets(score_predictions(rows, ScoreOptions(resamples=0)))
    }
    assert results["wer_noisy"].reached.value == 0.1
    assert results["wer_noisy"].verdict == "PASS"
    assert results["wer_noisy"].few
    without = {result.target.name: result for result in check_targets(scores_with({}))}
    assert without["wer_noisy"].verdict == "not measured"
    assert not without["wer"].few


def test_training_hours_come_with_the_settings() -> None:
    found = {result.target.name: result for result in check_targets(scores_with({}, settings={"training_hours": 13}))}
    assert found["training"].verdict == "FAIL"
    assert check_targets(scores_with({}))[-1].verdict == "not measured"


def test_json_is_flat() -> None:
    found = {result["name"]: result for result in (result.to_json() for result in check_targets(scores_with({})))}
    assert list(found) == [target.name for target in TARGETS]
    assert found["wer"]["limit"] == "< 0.15"
    assert found["wer"]["verdict"] == "PASS"
    assert found["wer_noisy"]["slice"] == {"added_snr": "10–15 dB"}
    assert found["wer_noisy"]["value"] is None


def test_training_hours_follow_from_the_speed_of_a_run_on_one_a100() -> None:
    def log(device: str, processes: int = 1) -> list[dict[str, Any]]:
        start = {"event": "start", "step": 0, "device": device, "processes": processes}
        return [
            start,
            *({"event": "train", "step": n, "audio_s_per_s": speed} for n, speed in enumerate((20, 150, 100))),
        ]

    assert training_hours(log("NVIDIA A100-SXM4-80GB")) == 1.5
    assert training_hours(log("NVIDIA A100-SXM4-80GB", processes=2)) is None
    assert training_hours(log("NVIDIA H200")) is None
    assert training_hours(log("NVIDIA A100-SXM4-80GB")[:1]) is None
    assert training_hours([{"event": "start", "step": 0, "processes": 1}]) is None, "a run of an earlier version"
