"""The worked example in docs/metrics.md is run: its numbers must be the scorer's."""

import json
import re
from pathlib import Path

import pytest

from rojak.evaluate.metrics import METRICS
from rojak.evaluate.prediction import Prediction
from rojak.evaluate.score import ScoreOptions, score_predictions
from rojak.evaluate.stats import error_segments, matched_pairs

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_the_page_tells_the_truth() -> None:
    [block] = re.findall(r"```jsonl\n(.*?)```", PAGE, flags=re.DOTALL)
    rows = [Prediction.from_dict(json.loads(line), "docs/metrics.md") for line in block.splitlines()]
    scores = score_predictions(rows, ScoreOptions(resamples=1000))
    assert [score.ops for score in scores.utterances[:3]] == ["====SD=S", "====I", "==IIIIII"]
    told = {name: float(value) for name, value in re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE, flags=re.MULTILINE)}
    assert set(told) == set(METRICS)
    for name, value in told.items():
        assert scores.overall.metrics[name].value == pytest.approx(value, abs=5e-5), name
    [interval] = re.findall(r"WER is \[([\d.]+), ([\d.]+)\]", PAGE)
    wer = scores.overall.metrics["wer"]
    assert (wer.low, wer.high) == pytest.approx(tuple(map(float, interval)), abs=5e-5)


def test_mapsswe_is_worked_out_rightly() -> None:
    [found] = re.findall(r"alignments `(\S+)` and `(\S+)` of eleven.*?z = ([\d.]+) and p = ([\d.]+\d)", PAGE, re.DOTALL)
    segments = error_segments(found[0], found[1])
    assert segments == [(1, 0), (1, 1), (1, 0)]
    test = matched_pairs(*zip(*segments, strict=True))
    assert (test.z, test.p) == pytest.approx((float(found[2]), float(found[3])), abs=5e-5)
