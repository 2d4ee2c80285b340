"""The range test reads suggestions off the curve, repeats itself, writes its files, and says when it cannot tell."""

import csv
from pathlib import Path

import pytest

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.errors import TrainingError
from rojak.train.lr_finder import _judge, find_learning_rate, write_finding

RATES = [10 ** (-6 + i / 10) for i in range(50)]


def valley(bottom: int) -> list[float]:
    """Changes that fall to -1 at a place and rise after it."""
    return [-max(0.0, 1 - abs(i - bottom) / 15) for i in range(50)]


def test_safe_is_a_tenth_of_the_lowest_and_steepest_is_on_the_way_down() -> None:
    finding = _judge(RATES, valley(35), 3.0, diverged=True)
    lowest = RATES[min(range(50), key=finding.smoothed.__getitem__)]
    assert finding.safe == pytest.approx(lowest / 10)
    assert RATES[20] < finding.steepest <= lowest
    assert min(finding.losses) == pytest.approx(2.0)


def test_a_flat_curve_and_an_early_break_are_told() -> None:
    with pytest.raises(TrainingError, match="did not fall at any learning rate"):
        _judge(RATES, [0.0] * 50, 3.0, diverged=False)
    with pytest.raises(TrainingError, match="broke after 4 steps"):
        _judge(RATES[:4], [0.0] * 4, 3.0, diverged=True)


def test_on_a_model_it_repeats_itself_and_leaves_no_run(tiny_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    config = TrainConfig.model_validate(
        {
            "model_name": str(tiny_dir),
            "dataset_path": str(data_dir),
            "output_dir": str(tmp_path / "run"),
            "batch_size": 4,
            "precision": "fp32",
            "windows": {"mode": "trim"},
            "adapter": "none",
            "validation": {"max_utterances": 1},
        }
    )
    data = Dataset(data_dir, ("train",))
    first, again = (find_learning_rate(config, data, num_steps=20, lowest=1e-4) for _ in range(2))
    assert first == again
    assert 1e-4 < first.safe <= first.steepest < 1
    assert not (tmp_path / "run").exists()
    points, plot = write_finding(first, tmp_path / "out")
    rows = list(csv.DictReader(points.read_text().splitlines()))
    assert [float(row["learning_rate"]) for row in rows] == first.rates
    assert plot.read_bytes().startswith(b"\x89PNG")
