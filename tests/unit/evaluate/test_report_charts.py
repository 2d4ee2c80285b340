import json
from pathlib import Path
from typing import Any

import pytest

from rojak.evaluate.report import curves
from rojak.evaluate.report.charts import Axis, Line, Point, panel, round_ticks, strip
from rojak.evaluate.report.figures import heat

# --- charts ---


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.5, 1]), (0, 400, [0, 100, 200, 300, 400]), (0, 0.052, [0, 0.02, 0.04]), (3, 3, [3])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    count = {1: 3, 400: 5, 0.052: 3, 3: 4}[high]
    assert round_ticks(low, high, count) == pytest.approx(expected)


def test_a_panel_puts_points_where_they_belong_and_names_them() -> None:
    x, y = Axis(0, 10, str, "step"), Axis(0, 1, "{:.0%}".format)
    drawn = panel("A <title>", [Line("l", [Point(0, 0), Point(10, 1, 0.5, 3.0)])], x, y)
    assert 'points="46.0,176.0 348.0,14.0"' in drawn
    assert "<title>A &lt;title&gt;</title>" in drawn
    assert "l, 10: 100% [50%, 300%]" in drawn
    assert 'y1="95" y2="14"' in drawn  # The upper end of the interval stays inside the panel.


def test_a_strip_shades_the_wanted_side_and_leaves_out_what_is_missing() -> None:
    drawn = strip([("a: 50 %", 0.5, None, None), ("b: not measured", None, None, None)], 1.0, limit=(0.25, "<"))
    assert 'class="wanted" x="7" y="2" width="44"' in drawn
    assert drawn.count('class="mark') == 1
    assert 'aria-label="a: 50 %; b: not measured"' in drawn
    assert 'class="wanted" x="51" y="2" width="132"' in strip([("a", 0.5, None, None)], 1.0, limit=(0.25, ">"))


def test_heat_is_the_share_of_the_row() -> None:
    cell = heat(1, 8, "ms heard as en", right=False)
    assert "--share:0.125" in cell
    assert ">12<" in cell
    assert "ms heard as en: 1 of 8" in cell


# --- learning curves ---


def test_stages_are_read_off_the_log_in_order() -> None:
    rows = [{"step": step, "stage": stage} for step, stage in ((30, "b"), (10, "a"), (20, "a"), (45, "b"))]
    bands = curves.stage_bands(rows)
    assert [(band.name, band.start, band.end) for band in bands] == [("a", 0, 20), ("b", 20, 45)]
    assert curves.stage_bands(rows[:1]) == []


def test_curves_leave_out_what_is_no_number_and_thin_long_runs() -> None:
    rows = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": float("nan")}, {"step": 3}, {"step": 4, "loss": 1}]
    assert curves.points(rows, "loss") == [Point(1, 2), Point(4, 1)]
    many = curves.points([{"step": n, "loss": n % 2} for n in range(10_000)], "loss")
    assert len(many) == curves.MAX_POINTS
    assert {point.y for point in many} == {12 / 25, 13 / 25}


def test_curves_are_drawn_from_a_run(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    events: list[dict[str, Any]] = [{"event": "start", "step": 0}]
    for step in range(1, 41):
        stage = "clean" if step <= 20 else "noisy"
        events.append({"event": "train", "step": step, "loss": 4 / step, "learning_rate": 1e-3, "stage": stage})
        if step % 10 == 0:
            events.append({"event": "validation", "step": step, "wer": 5.0 / step, "stage": stage})
    log.write_text("".join(json.dumps(event) + "\n" for event in events) + '{"event": "tra', encoding="utf-8")
    drawn = str(curves.curves_section(log))
    for title in ("Training loss", "Validation WER", "Learning rate"):
        assert f"<figcaption>{title}</figcaption>" in drawn
    assert "Stages: clean (to step 20), noisy (to step 40)" in drawn
    assert "best validation WER 12.5\u00a0% at step 40" in drawn
    assert drawn.count('class="mark') == 4
