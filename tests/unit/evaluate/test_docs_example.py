"""The worked example in docs/metrics.md is run: its numbers must be the scorer's."""

import json
import re
from pathlib import Path

import pytest

from rojak.evaluate.metrics import METRICS
from rojak.evaluate.prediction import Prediction
from rojak.evaluate.score import ScoreOptions, score_predictions

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_the_page_tells_the_truth() -> None:
    [block] = re.findall(r"```jsonl\n(.*?)```", PAGE, flags=re.DOTALL)
    rows = [Prediction.from_dict(json.loads(line), "docs/metrics.md") for line in block.splitlines()]
    scores = score_predictions(rows, ScoreOptions(resamples=0))
    assert [score.ops for score in scores.utterances[:3]] == ["====SD=S", "====I", "==IIIIII"]
    told = {name: float(value) for name, value in re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE, flags=re.MULTILINE)}
    assert set(told) == set(METRICS)
    for name, value in told.items():
        assert scores.overall.metrics[name].value == pytest.approx(value, abs=5e-5), name
