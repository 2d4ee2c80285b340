from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from rojak.evaluate.compare import compare
from rojak.evaluate.prediction import Prediction
from rojak.evaluate.results import Scores, Value
from rojak.evaluate.score import ScoreOptions, score_predictions
from rojak.evaluate.show import (
    compared_slice_table,
    comparison_table,
    format_number,
    format_value,
    headline_table,
    slice_table,
    targets_table,
)


def system(name: str, heard: str, **settings: Any) -> Scores:
    fields = {"reference": "saya pergi lah", "hypothesis": heard, "added_snr_db": 12.0, "duration": 4}
    rows = [Prediction(audio_id=str(i), speaker_id=f"s{i}", **fields) for i in range(5)]
    return score_predictions(rows, ScoreOptions(system=name, resamples=100, settings=settings))


def text(table: Table, width: int = 100) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(0.1234, "%", "12.3 %"), (None, "%", "not measured"), (0.0751, "", "0.0751"), (12.0, "h", "12 h")],
)
def test_numbers(value: float | None, unit: str, shown: str) -> None:
    assert format_number(value, unit) == shown


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (Value(0.1234, 0.1, 0.151, 9), "%", "12.3 % [10.0, 15.1]"),
        (Value(0.1234, None, None, 9), "%", "12.3 %"),
        (Value(0.25, 0.2, 0.3, 9), "", "0.25 [0.2, 0.3]"),
        (Value(None, None, None, 0), "%", "not measured"),
    ],
)
def test_values(value: Value, unit: str, shown: str) -> None:
    assert format_value(value, unit) == shown


def test_targets_side_by_side() -> None:
    shown = text(targets_table([system("base", "saya"), system("tuned", "saya pergi lah", training_hours=2.5)]))
    [wer] = [line for line in shown.splitlines() if line.startswith("│ WER  ")]
    assert "FAIL* 66.7 % [66.7, 66.7]" in wer
    assert "PASS* 0.0 % [0.0, 0.0]" in wer
    [training] = [line for line in shown.splitlines() if "Training" in line]
    assert "not measured" in training
    assert "PASS 2.5 h" in training
    assert "* few utterances" in shown
    assert "? the interval" not in shown


def test_headline_leaves_out_what_was_not_measured() -> None:
    shown = text(headline_table([system("base", "saya")]))
    assert "5 utterances, 15 words, normaliser rojak-1" in shown
    assert "66.7 % [66.7, 66.7]" in shown
    assert "RTF" not in shown


def test_slices_mark_few() -> None:
    shown = text(slice_table(system("base", "saya"), "added_snr"), width=130)
    [line] = [line for line in shown.splitlines() if "10–15 dB" in line]
    assert "5*" in line
    assert "few utterances" in shown


def test_names_from_the_data_are_shown_as_they_are() -> None:
    scores = system("[bold]", "saya")
    cell = next(iter(scores.slices["added_snr"].values()))
    scores = replace(scores, slices={"domain": {"[/news]": cell, "[news]": cell}})
    shown = text(slice_table(scores, "domain"), width=130)
    assert "[/news]" in shown and "[news]" in shown
    assert "[bold]" in text(headline_table([scores]))


def test_comparison() -> None:
    [found] = compare([system("base", "saya"), system("tuned", "saya pergi lah")], resamples=100)
    shown = text(comparison_table(found))
    [wer] = [line for line in shown.splitlines() if line.startswith("│ WER")]
    assert [cell.strip() for cell in wer.strip("│").split("│")] == [
        "WER",
        "66.7 %",
        "0.0 %",
        "-66.7 [-66.7, -66.7]",
        "1.000",
    ]
    assert "MAPSSWE: too few segments (5); 5 better, 0 worse" in shown
    by_noise = text(compared_slice_table(found, "added_snr"))
    assert "10–15 dB" in by_noise
    assert "5*" in by_noise
